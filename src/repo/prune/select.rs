//! Which packs go, and which are stored again without what is not needed. A pure function.

use super::super::id::PackClass;
use super::super::pack;
use super::mark::PackUse;
use super::{PruneOptions, Unused};

/// Packs below this part of a full one are small, and this many of them are too many: each commit
/// makes one or two.
const SMALL: u64 = 16;
const MANY_SMALL: usize = 32;

/// What becomes of packs.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Nothing in them is in use.
    pub dead: Vec<PackUse>,
    /// What is in use is to be stored again.
    pub repack: Vec<PackUse>,
    /// Bytes that nothing uses and that stay in the others.
    pub unused: u64,
}

/// Bytes of a pack that nothing uses.
pub(super) fn unused(pack: &PackUse) -> u64 {
    pack.object_bytes - pack.live_bytes
}

/// Chooses among packs that are on no list.
pub(super) fn select(packs: Vec<PackUse>, options: &PruneOptions) -> Selection {
    let (dead, mut rest): (Vec<_>, Vec<_>) = packs.into_iter().partition(|p| p.live_objects == 0);
    let mut selection = Selection {
        dead,
        ..Selection::default()
    };
    selection.unused = rest.iter().map(unused).sum();
    let used: u64 = rest.iter().map(|pack| pack.live_bytes).sum();
    let allowed = match options.max_unused {
        Unused::Bytes(bytes) => bytes,
        Unused::Percent(percent) => (used as f64 * percent / 100.0) as u64,
    };
    // What frees most for what it costs comes first.
    let part = |pack: &PackUse| unused(pack) as f64 / pack.size.max(1) as f64;
    rest.sort_by(|a, b| part(b).total_cmp(&part(a)).then(a.id.cmp(&b.id)));
    let crowded = PackClass::ALL.map(|class| {
        let small = |pack: &&PackUse| pack.class == class && is_small(pack);
        rest.iter().filter(small).count() >= MANY_SMALL
    });
    let mut room = options.max_repack.unwrap_or(u64::MAX);
    for pack in rest {
        let wasteful = selection.unused > allowed && unused(&pack) > 0;
        let scattered = is_small(&pack) && crowded[pack.class.slot()];
        if (wasteful || scattered) && pack.size <= room {
            room -= pack.size;
            selection.unused = selection.unused.saturating_sub(unused(&pack));
            selection.repack.push(pack);
        }
    }
    // Neighbours in time stay neighbours as far as that is known: in the order of their names.
    selection.repack.sort_unstable_by_key(|pack| pack.id);
    selection
}

fn is_small(pack: &PackUse) -> bool {
    pack.size < pack::target(pack.class) / SMALL
}

#[cfg(test)]
mod tests {
    use super::super::super::id::PackId;
    use super::*;
    use proptest::prelude::*;

    fn pack(n: u8, size: u64, live_percent: u64) -> PackUse {
        PackUse {
            id: PackId([n; 16]),
            class: PackClass::Data,
            size,
            objects: 100,
            live_objects: live_percent,
            object_bytes: size / 100 * 100,
            live_bytes: size / 100 * live_percent,
        }
    }

    fn names(packs: &[PackUse]) -> Vec<u8> {
        packs.iter().map(|pack| pack.id.0[0]).collect()
    }

    #[test]
    fn the_emptiest_packs_are_stored_again_until_little_is_wasted() {
        let packs = || {
            let percents = [100, 0, 10, 98, 50];
            let packs = (0u8..).zip(percents);
            packs.map(|(n, live)| pack(n, 30_000_000, live)).collect()
        };
        let options = |max_unused, max_repack| PruneOptions {
            max_unused,
            max_repack,
            ..PruneOptions::default()
        };
        let chosen = select(packs(), &options(Unused::Percent(5.0), None));
        assert_eq!(names(&chosen.dead), [1]);
        assert_eq!(names(&chosen.repack), [2, 4]);
        assert_eq!(chosen.unused, 600_000);
        // Half of 77,400,000 bytes in use may be wasted.
        let chosen = select(packs(), &options(Unused::Percent(50.0), None));
        assert_eq!(names(&chosen.repack), [2]);
        let chosen = select(packs(), &options(Unused::Bytes(0), None));
        assert_eq!(names(&chosen.repack), [2, 3, 4]);
        let chosen = select(packs(), &options(Unused::Bytes(0), Some(40_000_000)));
        assert_eq!(names(&chosen.repack), [2]);
        let chosen = select(packs(), &options(Unused::Bytes(u64::MAX), None));
        assert_eq!(
            (names(&chosen.dead), names(&chosen.repack)),
            (vec![1], vec![])
        );
    }

    #[test]
    fn many_small_packs_become_few() {
        let small = |count: u8| (0..count).map(|n| pack(n, 10_000, 100)).collect();
        let options = PruneOptions::default();
        assert!(select(small(31), &options).repack.is_empty());
        assert_eq!(select(small(32), &options).repack.len(), 32);
    }

    proptest! {
        #[test]
        fn limits_hold(
            percents in proptest::collection::vec(0u64..=100, 0..40),
            size in 1_000u64..40_000_000, room in 0u64..400_000_000, allowed in 0u64..400_000_000,
        ) {
            let packs: Vec<_> = (0u8..).zip(percents).map(|(n, live)| pack(n, size, live)).collect();
            let options = PruneOptions {
                max_unused: Unused::Bytes(allowed),
                max_repack: Some(room),
                ..PruneOptions::default()
            };
            let chosen = select(packs.clone(), &options);
            prop_assert!(chosen.dead.iter().all(|pack| pack.live_objects == 0));
            prop_assert_eq!(chosen.dead.len(), packs.iter().filter(|pack| pack.live_objects == 0).count());
            prop_assert!(chosen.repack.iter().map(|pack| pack.size).sum::<u64>() <= room);
            let left: u64 = packs.iter().map(unused).sum::<u64>()
                - chosen.dead.iter().chain(&chosen.repack).map(unused).sum::<u64>();
            prop_assert_eq!(left, chosen.unused);
        }
    }
}
