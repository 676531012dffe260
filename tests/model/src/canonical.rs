//! One form for states that nobody can tell apart.
//!
//! Files are numbered by what they are and by who knows of them; files that nobody knows of are forgotten, and so are
//! requests that can only be refused, for which nobody waits. None of this changes what can happen.

use crate::rules::Rules;
use crate::world::{FILES, File, Files, NONE, POSTS, Post, State};

impl State {
    /// Brings the state into its one form.
    pub(crate) fn canonical(&mut self, rules: &Rules) {
        if rules.assert_base {
            self.forget_dead_requests();
        }
        let sent = usize::from(self.sent);
        self.network[..sent].sort_unstable_by_key(|post| Post { added: 0, removed: 0, ..*post });
        let known = self.known_by();
        let mut order = [(0_u64, 0_usize); FILES];
        for (slot, entry) in order.iter_mut().enumerate() {
            let file = self.files[slot];
            let content = u64::from(file.rows) << 2 | u64::from(file.gone) << 1 | u64::from(file.named);
            // Forgotten files go to the end.
            *entry = if known[slot] == 0 { (u64::MAX, slot) } else { (content << 32 | u64::from(known[slot]), slot) };
        }
        sort(&mut order);
        self.renumber(&order);
        self.network[..sent].sort_unstable();
    }

    /// A request that is late and whose base is gone is refused, whenever it comes.
    fn forget_dead_requests(&mut self) {
        let (mut kept, mut sent) = ([Post::default(); POSTS], 0);
        for post in self.posts() {
            if post.awaited || (post.uuid == self.table.uuid && post.base == self.table.seq) {
                kept[sent] = *post;
                sent += 1;
            }
        }
        self.network = kept;
        self.sent = u8::try_from(sent).unwrap_or(u8::MAX);
    }

    /// For each file, who knows of it. A sweeper's candidate that nobody else knows of is no longer of interest.
    fn known_by(&mut self) -> [u32; FILES] {
        let mut known = [0_u32; FILES];
        let mut bit = 1_u32;
        let mut add = |mut set: Files| {
            while set != 0 {
                known[set.trailing_zeros() as usize] |= bit;
                set &= set - 1;
            }
            bit <<= 1;
        };
        let single = |file: u8| if file == NONE { 0 } else { 1 << file };
        add(self.table.live);
        add(single(self.table.newest));
        self.writers.iter().for_each(|writer| add(single(writer.file)));
        for compactor in &self.compactors {
            add(compactor.inputs);
            add(single(compactor.output));
        }
        for post in &self.network[..usize::from(self.sent)] {
            add(single(post.added));
            add(post.removed);
        }
        let others = (0..FILES).filter(|&slot| known[slot] != 0).fold(0, |set: Files, slot| set | 1 << slot);
        self.candidates &= others;
        for (slot, known) in known.iter_mut().enumerate() {
            *known |= u32::from(self.candidates >> slot & 1) << 31;
        }
        known
    }

    fn renumber(&mut self, order: &[(u64, usize); FILES]) {
        let mut number = [NONE; FILES];
        let mut files = [File::default(); FILES];
        let mut same = true;
        for (new, &(key, old)) in order.iter().enumerate() {
            if key != u64::MAX {
                number[old] = u8::try_from(new).unwrap_or(NONE);
                files[new] = self.files[old];
                same &= new == old;
            }
        }
        self.files = files;
        if same {
            return;
        }
        let one = |file: &mut u8| *file = number.get(usize::from(*file)).copied().unwrap_or(NONE);
        let all = |set: &mut Files| {
            let mut old = std::mem::take(set);
            while old != 0 {
                *set |= 1 << number[old.trailing_zeros() as usize];
                old &= old - 1;
            }
        };
        all(&mut self.table.live);
        one(&mut self.table.newest);
        self.writers.iter_mut().for_each(|writer| one(&mut writer.file));
        for compactor in &mut self.compactors {
            all(&mut compactor.inputs);
            one(&mut compactor.output);
        }
        for post in &mut self.network[..usize::from(self.sent)] {
            one(&mut post.added);
            all(&mut post.removed);
        }
        all(&mut self.candidates);
    }
}

/// Insertion: the order is short and nearly right.
fn sort(order: &mut [(u64, usize); FILES]) {
    for at in 1..FILES {
        let mut to = at;
        while to > 0 && order[to - 1].0 > order[to].0 {
            order.swap(to - 1, to);
            to -= 1;
        }
    }
}
