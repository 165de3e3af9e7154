//! How many requests the kernel sent, per operation.
//!
//! The mount is fast because the kernel needs not ask: a second pass over the same files must send
//! no request at all. Counting is how that is held, in tests and in the benchmark.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! operations {
    ($($name:ident),* $(,)?) => {
        /// A kind of FUSE request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(non_camel_case_types)]
        pub enum Op { $($name),* }

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

operations!(
    lookup,
    forget,
    getattr,
    setattr,
    readlink,
    mkdir,
    unlink,
    rmdir,
    symlink,
    rename,
    link,
    open,
    read,
    write,
    flush,
    release,
    fsync,
    opendir,
    readdir,
    readdirplus,
    releasedir,
    statfs,
    setxattr,
    getxattr,
    listxattr,
    removexattr,
    access,
    create,
    fallocate,
    lseek,
    ioctl,
    other,
);

/// Counters of one session.
#[derive(Debug)]
pub struct Requests([AtomicU64; NAMES.len()]);

impl Default for Requests {
    fn default() -> Self {
        Requests([const { AtomicU64::new(0) }; NAMES.len()])
    }
}

impl Requests {
    pub(crate) fn count(&self, op: Op) {
        self.0[op as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Requests so far by operation; operations never asked for are left out.
    pub fn by_operation(&self) -> BTreeMap<&'static str, u64> {
        NAMES
            .iter()
            .zip(&self.0)
            .map(|(name, n)| (*name, n.load(Ordering::Relaxed)))
            .filter(|(_, n)| *n > 0)
            .collect()
    }

    /// All requests that something waited for. `forget` is not one: the kernel tells us, at a time
    /// of its own, that it dropped an inode.
    pub fn total(&self) -> u64 {
        let forgets = self.0[Op::forget as usize].load(Ordering::Relaxed);
        self.0
            .iter()
            .map(|n| n.load(Ordering::Relaxed))
            .sum::<u64>()
            - forgets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_are_shown_but_not_in_the_total() {
        let r = Requests::default();
        r.count(Op::read);
        r.count(Op::read);
        r.count(Op::forget);
        assert_eq!(r.total(), 2);
        assert_eq!(
            r.by_operation(),
            BTreeMap::from([("read", 2), ("forget", 1)])
        );
    }
}
