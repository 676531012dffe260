//! Kafka's negative numbers are no offsets: `Offset::new` refuses them.

fn by_hand() -> protocol::Offset {
    protocol::Offset(-1)
}

fn main() {}
