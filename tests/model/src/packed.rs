//! A state in nine words, and the set of those that were seen.
//!
//! The packing is exact: two states are the same if and only if their words are. Used by the search alone.

use std::hash::Hasher;

use crate::world::{Phase, Post, State, Sweep, Work};

const WORDS: usize = 9;

/// A state, packed.
pub(crate) type Packed = [u64; WORDS];

/// A small value with a number of its own.
trait Field: Copy {
    fn get(self) -> u64;
    fn of(number: u64) -> Self;
}

impl Field for bool {
    fn get(self) -> u64 {
        self.into()
    }
    fn of(number: u64) -> Self {
        number == 1
    }
}

impl Field for u8 {
    fn get(self) -> u64 {
        self.into()
    }
    fn of(number: u64) -> Self {
        number.to_le_bytes()[0]
    }
}

impl Field for u16 {
    fn get(self) -> u64 {
        self.into()
    }
    fn of(number: u64) -> Self {
        let bytes = number.to_le_bytes();
        Self::from_le_bytes([bytes[0], bytes[1]])
    }
}

macro_rules! numbered {
    ($name:ty: $($value:path),+) => {
        impl Field for $name {
            fn get(self) -> u64 {
                self as u64
            }
            fn of(number: u64) -> Self {
                const ALL: &[$name] = &[$($value),+];
                ALL[usize::try_from(number).unwrap_or(0)]
            }
        }
    };
}
numbered!(Phase: Phase::Absent, Phase::Begin, Phase::Reading, Phase::Staged, Phase::Waiting, Phase::Halted);
numbered!(Work: Work::Idle, Work::Planned, Work::Written, Work::Waiting);
numbered!(Sweep: Sweep::Idle, Sweep::Listed, Sweep::Fenced, Sweep::Looked);

/// Takes every field of a state, with the bits that it has.
trait Fields {
    fn field<F: Field>(&mut self, field: &mut F, bits: u32);
}

struct Packer {
    words: Packed,
    word: usize,
    used: u32,
    fits: bool,
}

impl Fields for Packer {
    #[inline(always)]
    fn field<F: Field>(&mut self, field: &mut F, bits: u32) {
        let number = field.get();
        if self.used + bits > 64 {
            (self.word, self.used) = (self.word + 1, 0);
        }
        self.fits &= number >> bits == 0;
        self.words[self.word] |= number << self.used;
        self.used += bits;
    }
}

struct Unpacker<'a> {
    words: &'a Packed,
    word: usize,
    used: u32,
}

impl Fields for Unpacker<'_> {
    #[inline(always)]
    fn field<F: Field>(&mut self, field: &mut F, bits: u32) {
        if self.used + bits > 64 {
            (self.word, self.used) = (self.word + 1, 0);
        }
        *field = F::of(self.words[self.word] >> self.used & ((1 << bits) - 1));
        self.used += bits;
    }
}

/// Every field, in one order for both ways.
#[inline(always)]
fn each(state: &mut State, to: &mut impl Fields) {
    let table = &mut state.table;
    to.field(&mut table.uuid, 1);
    to.field(&mut table.seq, 4);
    to.field(&mut table.live, 12);
    to.field(&mut table.summary, 10);
    to.field(&mut table.property, 10);
    to.field(&mut table.sweep, 2);
    to.field(&mut table.newest, 4);
    for writer in &mut state.writers {
        to.field(&mut writer.phase, 3);
        let batch = &mut writer.batch;
        to.field(&mut batch.uuid, 1);
        to.field(&mut batch.topic, 1);
        to.field(&mut batch.epoch, 2);
        to.field(&mut batch.start, 3);
        to.field(&mut batch.end, 3);
        to.field(&mut batch.first, 1);
        to.field(&mut batch.sweep, 2);
        to.field(&mut writer.file, 4);
        to.field(&mut writer.unknown, 1);
    }
    for compactor in &mut state.compactors {
        to.field(&mut compactor.work, 2);
        to.field(&mut compactor.inputs, 12);
        to.field(&mut compactor.output, 4);
        to.field(&mut compactor.sweep, 2);
        to.field(&mut compactor.position, 10);
    }
    to.field(&mut state.sweep, 2);
    to.field(&mut state.candidates, 12);
    to.field(&mut state.topic, 1);
    to.field(&mut state.log_start, 3);
    to.field(&mut state.lost, 8);
    to.field(&mut state.group, 3);
    let left = &mut state.left;
    to.field(&mut left.compactions, 2);
    to.field(&mut left.sweeps, 2);
    to.field(&mut left.faults, 2);
    to.field(&mut left.crashes, 2);
    to.field(&mut left.foreign, 2);
    to.field(&mut left.replaced, 1);
    to.field(&mut left.trims, 2);
    to.field(&mut left.remade, 1);
    to.field(&mut state.sent, 3);
    for file in &mut state.files {
        to.field(&mut file.rows, 8);
        to.field(&mut file.gone, 1);
        to.field(&mut file.named, 1);
    }
    for Post { sender, awaited, uuid, base, position, added, removed } in &mut state.network {
        to.field(sender, 2);
        to.field(awaited, 1);
        to.field(uuid, 1);
        to.field(base, 4);
        to.field(position, 10);
        to.field(added, 4);
        to.field(removed, 12);
    }
}

/// The state's words; none if it is too large for them.
pub(crate) fn pack(mut state: State) -> Option<Packed> {
    let mut packer = Packer { words: [0; WORDS], word: 0, used: 0, fits: !state.overflow };
    each(&mut state, &mut packer);
    packer.fits.then_some(packer.words)
}

/// Reads what [`pack`] wrote into any state.
pub(crate) fn unpack(words: &Packed, into: &mut State) {
    each(into, &mut Unpacker { words, word: 0, used: 0 });
    into.overflow = false;
}

/// A short hash for small keys.
#[derive(Default)]
pub(crate) struct Fx(u64);

impl Hasher for Fx {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }
    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

/// All states that were seen, numbered as they came.
pub(crate) struct Seen {
    states: Vec<Packed>,
    /// Hash and number of a state, the number plus one, at its hash or behind; a power of two of places, half of them
    /// free. The hash tells most of the others apart without a look at them.
    places: Vec<(u32, u32)>,
}

impl Seen {
    pub(crate) fn new() -> Self {
        Self { states: Vec::new(), places: vec![(0, 0); 1 << 16] }
    }

    pub(crate) fn states(&self) -> &[Packed] {
        &self.states
    }

    /// The state's number, and whether it is new.
    pub(crate) fn number(&mut self, state: &Packed) -> (u32, bool) {
        let hash = short_hash(state);
        let mask = self.places.len() - 1;
        let mut place = hash as usize & mask;
        while self.places[place].1 > 0 {
            let (other, number) = self.places[place];
            if other == hash && self.states[number as usize - 1] == *state {
                return (number - 1, false);
            }
            place = (place + 1) & mask;
        }
        self.states.push(*state);
        let number = u32::try_from(self.states.len()).unwrap_or(u32::MAX);
        self.places[place] = (hash, number);
        if self.states.len() * 2 > self.places.len() {
            self.grow();
        }
        (number - 1, true)
    }

    fn grow(&mut self) {
        let mask = self.places.len() * 2 - 1;
        let mut places = vec![(0, 0); mask + 1];
        for &entry in self.places.iter().filter(|(_, number)| *number > 0) {
            let mut place = entry.0 as usize & mask;
            while places[place].1 > 0 {
                place = (place + 1) & mask;
            }
            places[place] = entry;
        }
        self.places = places;
    }
}

fn short_hash(state: &Packed) -> u32 {
    let mut hash = Fx::default();
    state.iter().for_each(|&word| hash.write_u64(word));
    let bytes = hash.finish().wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
