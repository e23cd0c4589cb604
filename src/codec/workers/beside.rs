//! Keeps helpers off the core on which their owner works.
//!
//! A thread that is woken goes where it ran last, or to the core of the one that wakes it, unless the kernel looks for an
//! idle one. Kernels that were built without knowledge of shared caches, as those of small virtual machines, do not: there
//! owner and helper were seen on one core for whole pictures while the other had nothing to do (a helper waited 3.6 ms
//! for its turn, in a picture that took 8). So the owner says where a helper must not go. That is his own core, of which
//! a helper has no use in any case.

#[cfg(target_os = "linux")]
pub(super) use linux::{Beside, Id};
#[cfg(not(target_os = "linux"))]
pub(super) use other::{Beside, Id};

#[cfg(target_os = "linux")]
mod linux {
    use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_getcpu, sched_setaffinity};

    /// A thread.
    #[derive(Clone, Copy, Debug)]
    pub(in crate::codec::workers) struct Id(Pid);

    impl Id {
        /// Of the one that asks.
        pub(in crate::codec::workers) fn mine() -> Self {
            Self(gettid())
        }
    }

    /// The owner's knowledge of where he is.
    #[derive(Debug, Default)]
    pub(in crate::codec::workers) struct Beside {
        /// His core when the helpers were last sent away, and how many they were.
        told: Option<(usize, usize)>,
    }

    impl Beside {
        /// Called by the owner before he wakes any of `helpers`.
        pub(in crate::codec::workers) fn send_away(&mut self, helpers: &[Id]) {
            let now = (sched_getcpu(), helpers.len());
            if self.told == Some(now) {
                return;
            }
            self.told = Some(now);
            // The cores that the owner himself may use: those of the process, or fewer if somebody says so.
            let Ok(allowed) = sched_getaffinity(None) else {
                return;
            };
            let Some(others) = without(allowed, now.0) else {
                return;
            };
            for Id(helper) in helpers {
                // Where that cannot be done it is as slow as before.
                let _ = sched_setaffinity(Some(*helper), &others);
            }
        }
    }

    /// `None` if nothing would be left.
    fn without(mut cores: CpuSet, core: usize) -> Option<CpuSet> {
        if core < CpuSet::MAX_CPU {
            cores.unset(core);
        }
        (cores.count() > 0).then_some(cores)
    }

    #[cfg(test)]
    mod tests {
        use std::sync::mpsc::channel;

        use super::*;

        #[test]
        fn a_helper_may_go_anywhere_but_where_its_owner_is() {
            let (tell, id) = channel();
            let (end, ended) = channel::<()>();
            let helper = std::thread::Builder::new()
                .spawn(move || {
                    tell.send(Id::mine()).unwrap();
                    let _ = ended.recv();
                })
                .unwrap();
            let id = id.recv().unwrap();
            let all = sched_getaffinity(None).unwrap();
            let mut beside = Beside::default();
            beside.send_away(&[id]);
            let (core, _) = beside.told.unwrap();
            let cores = sched_getaffinity(Some(id.0)).unwrap();
            match without(all, core) {
                Some(others) => assert_eq!(cores, others),
                None => assert_eq!(cores, all),
            }
            drop(end);
            helper.join().unwrap();
        }

        #[test]
        fn where_there_is_one_core_all_stay_on_it() {
            let mut cores = CpuSet::new();
            cores.set(3);
            assert!(without(cores, 3).is_none());
            assert_eq!(without(cores, 5), Some(cores));
            assert_eq!(without(cores, usize::MAX), Some(cores));
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    /// A thread.
    #[derive(Clone, Copy, Debug)]
    pub(in crate::codec::workers) struct Id;

    impl Id {
        /// Of the one that asks.
        pub(in crate::codec::workers) const fn mine() -> Self {
            Self
        }
    }

    /// The system finds an idle core by itself.
    #[derive(Debug, Default)]
    pub(in crate::codec::workers) struct Beside;

    impl Beside {
        /// Called by the owner before he wakes any of `helpers`.
        pub(in crate::codec::workers) const fn send_away(&mut self, _helpers: &[Id]) {}
    }
}
