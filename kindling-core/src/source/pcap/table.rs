//! A map in order of last use, so that what has been idle longest is found without a search.

use std::hash::Hash;

use hashbrown::HashMap;

/// Entries by key, threaded on a list from the longest unused to the latest.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    index: HashMap<K, usize>,
    slots: Vec<Slot<K, V>>,
    free: Vec<usize>,
    oldest: usize,
    newest: usize,
}

#[derive(Debug)]
struct Slot<K, V> {
    entry: Option<(K, V)>,
    older: usize,
    newer: usize,
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    pub(super) fn new() -> Self {
        Self { index: HashMap::new(), slots: Vec::new(), free: Vec::new(), oldest: NONE, newest: NONE }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = *self.index.get(key)?;
        self.slots.get_mut(at)?.entry.as_mut().map(|(_, value)| value)
    }

    /// Like [`get_mut`](Self::get_mut), and the entry becomes the latest used.
    pub(super) fn touch(&mut self, key: &K) -> Option<&mut V> {
        let at = *self.index.get(key)?;
        if self.newest != at {
            self.unlink(at);
            self.link(at);
        }
        self.slots.get_mut(at)?.entry.as_mut().map(|(_, value)| value)
    }

    /// Put `value` under `key`, which must be free.
    pub(super) fn insert(&mut self, key: K, value: V) {
        let slot = Slot { entry: Some((key, value)), older: NONE, newer: NONE };
        let at = match self.free.pop() {
            Some(at) => at,
            None => self.slots.len(),
        };
        match self.slots.get_mut(at) {
            Some(free) => *free = slot,
            None => self.slots.push(slot),
        }
        let before = self.index.insert(key, at);
        debug_assert!(before.is_none(), "the key was taken");
        self.link(at);
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.index.remove(key)?;
        self.unlink(at);
        self.free.push(at);
        self.slots.get_mut(at)?.entry.take().map(|(_, value)| value)
    }

    /// The entry that has been unused longest.
    pub(super) fn oldest(&self) -> Option<(&K, &V)> {
        self.slots.get(self.oldest)?.entry.as_ref().map(|(key, value)| (key, value))
    }

    pub(super) fn pop_oldest(&mut self) -> Option<(K, V)> {
        let key = *self.oldest()?.0;
        self.remove(&key).map(|value| (key, value))
    }

    fn unlink(&mut self, at: usize) {
        let Some((older, newer)) = self.slots.get(at).map(|slot| (slot.older, slot.newer)) else { return };
        match self.slots.get_mut(older) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
        match self.slots.get_mut(newer) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
    }

    fn link(&mut self, at: usize) {
        let newest = std::mem::replace(&mut self.newest, at);
        match self.slots.get_mut(newest) {
            Some(slot) => slot.newer = at,
            None => self.oldest = at,
        }
        if let Some(slot) = self.slots.get_mut(at) {
            (slot.older, slot.newer) = (newest, NONE);
        }
    }
}

const NONE: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_comes_first() {
        let mut table = Table::new();
        for key in 0..4 {
            table.insert(key, key * 10);
        }
        assert_eq!(table.touch(&0), Some(&mut 0));
        assert_eq!(table.remove(&2), Some(20));
        table.insert(9, 90);
        let order: Vec<_> = std::iter::from_fn(|| table.pop_oldest()).collect();
        assert_eq!(order, [(1, 10), (3, 30), (0, 0), (9, 90)]);
        assert_eq!((table.len(), table.oldest()), (0, None));
        table.insert(1, 1);
        assert_eq!(table.pop_oldest(), Some((1, 1)));
    }
}
