//! Maps and queues with a hard limit, which count what they evict.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hash},
};

use hashbrown::{DefaultHashBuilder, HashMap};

/// A map of at most `limit` entries: a new one evicts the least recently inserted or refreshed.
///
/// Eviction is exact first-in first-out over [`insert`](Self::insert) and [`refresh`](Self::refresh), so it does not depend on hash order and
/// the same input evicts the same entries.
#[derive(Clone, Debug)]
pub struct BoundedMap<K, V, S = DefaultHashBuilder> {
    entries: HashMap<K, Entry<V>, S>,
    order: VecDeque<(u64, K)>,
    stamp: u64,
    limit: usize,
    evicted: u64,
}

#[derive(Clone, Debug)]
struct Entry<V> {
    stamp: u64,
    value: V,
}

impl<K: Clone + Eq + Hash, V> BoundedMap<K, V> {
    /// A map of at most `limit` entries (at least one).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let limit = limit.max(1);
        Self { entries: HashMap::default(), order: VecDeque::new(), stamp: 0, limit, evicted: 0 }
    }
}

impl<K: Clone + Eq + Hash, V, S: BuildHasher> BoundedMap<K, V, S> {
    /// Put `value` under `key`; returns the entry that had to go for it.
    pub fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        self.stamp += 1;
        self.entries.insert(key.clone(), Entry { stamp: self.stamp, value });
        self.order.push_back((self.stamp, key));
        self.compact();
        if self.entries.len() <= self.limit { None } else { self.evict() }
    }

    /// Move `key` to the far end of the eviction order.
    pub fn refresh(&mut self, key: &K) {
        if let Some(entry) = self.entries.get_mut(key) {
            self.stamp += 1;
            entry.stamp = self.stamp;
            self.order.push_back((self.stamp, key.clone()));
            self.compact();
        }
    }

    /// The value under `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// The value under `key`, to change.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Take the value under `key` out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let removed = self.entries.remove(key).map(|entry| entry.value);
        if self.entries.is_empty() {
            self.order.clear();
        }
        removed
    }

    /// Entries now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Entries evicted so far.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    fn evict(&mut self) -> Option<(K, V)> {
        while let Some((stamp, key)) = self.order.pop_front() {
            if self.entries.get(&key).is_some_and(|entry| entry.stamp == stamp) {
                self.evicted += 1;
                return self.entries.remove(&key).map(|entry| (key, entry.value));
            }
        }
        None
    }

    /// Drop stale notes of the order once they outnumber the entries, so that the cost is amortised.
    fn compact(&mut self) {
        if self.order.len() > 2 * self.entries.len() + 16 {
            let entries = &self.entries;
            self.order.retain(|(stamp, key)| entries.get(key).is_some_and(|entry| entry.stamp == *stamp));
        }
    }
}

/// A queue of at most `limit` items: what does not fit is refused and counted.
#[derive(Clone, Debug)]
pub struct BoundedQueue<T> {
    items: VecDeque<T>,
    limit: usize,
    refused: u64,
}

impl<T> BoundedQueue<T> {
    /// A queue of at most `limit` items.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { items: VecDeque::new(), limit, refused: 0 }
    }

    /// Append `item`.
    ///
    /// # Errors
    /// Gives the item back if the queue is full, and counts it.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.items.len() >= self.limit {
            self.refused += 1;
            return Err(item);
        }
        self.items.push_back(item);
        Ok(())
    }

    /// Take the oldest.
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    /// Items now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Items refused so far.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_is_counted() {
        let mut map = BoundedMap::new(2);
        assert_eq!(map.insert(1, 'a'), None);
        assert_eq!(map.insert(2, 'b'), None);
        map.refresh(&1);
        assert_eq!(map.insert(3, 'c'), Some((2, 'b')));
        assert_eq!((map.len(), map.evicted(), map.get(&1)), (2, 1, Some(&'a')));
    }

    #[test]
    fn notes_of_the_order_stay_bounded() {
        let mut map = BoundedMap::new(4);
        for round in 0..10_000 {
            map.insert(round % 3, round);
        }
        assert!(map.order.len() <= 2 * 4 + 16 + 1, "{} notes", map.order.len());
        assert_eq!(map.evicted(), 0);
    }

    #[test]
    fn a_full_queue_refuses() {
        let mut queue = BoundedQueue::new(1);
        assert_eq!(queue.push(1), Ok(()));
        assert_eq!(queue.push(2), Err(2));
        assert_eq!((queue.pop(), queue.pop(), queue.refused()), (Some(1), None, 1));
    }
}
