//! States that cannot be written: each file of `illegal/` must not compile, for the reason that stands beside it.
//!
//! The compiler is asked about all of them at once, in a package of its own below the target folder, without lints and
//! without the network: the locked dependencies are those of this crate.

#[test]
fn illegal_states_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/illegal/*.rs");
}
