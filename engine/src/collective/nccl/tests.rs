//! Groups over a library that is made up: it behaves, is late, fails, or loses a rank.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::super::{CollectiveError, Fate, Mesh, Seat, in_process_group};
use super::agreement::UniqueId;
use super::calls::*;
use super::communicator::Communicator;
use super::setup::connect;
use super::{Joined, over_nccl};

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `work` on every rank of a group at once; results by rank.
pub(super) fn on_all<T: Send>(size: usize, work: impl Fn(usize, &mut Mesh) -> T + Sync) -> Vec<T> {
    let group = in_process_group(size, PATIENCE);
    std::thread::scope(|scope| {
        let run = |(rank, mut mesh)| {
            let work = &work;
            scope.spawn(move || work(rank, &mut mesh))
        };
        let ranks: Vec<_> = group.into_iter().enumerate().map(run).collect();
        ranks.into_iter().map(|rank| rank.join().expect("no panic")).collect()
    })
}

/// The ranks that have begun, and what happened to them.
#[derive(Default)]
struct World {
    begun: BTreeSet<usize>,
    aborted: Vec<usize>,
    queued: usize,
    fault: Option<NcclFault>,
}

/// One rank's library; all share a world.
struct FakeNccl {
    world: Arc<Mutex<World>>,
    rank: usize,
    ranks: usize,
    refuses: bool,
}

impl FakeNccl {
    fn alone() -> Arc<Self> {
        Arc::new(Self { world: Arc::default(), rank: 0, ranks: 1, refuses: false })
    }

    fn fail(&self, code: i32) {
        self.world.lock().expect("whole").fault = Some(NcclFault(code));
    }

    fn aborted(&self) -> Vec<usize> {
        self.world.lock().expect("whole").aborted.clone()
    }

    /// Its communicator of a group of one.
    fn open(self: &Arc<Self>, fate: &Fate) -> Communicator<Self> {
        let seat = Seat { rank: 0, ranks: 1 };
        Communicator::open(self, &[7; 128], seat, fate, PATIENCE).expect("alone")
    }
}

impl NcclCalls for FakeNccl {
    type Handle = usize;

    fn version(&self) -> u32 {
        22_703
    }

    fn unique_id(&self) -> Result<UniqueId, NcclFault> {
        Ok([7; 128])
    }

    fn begin(&self, id: &UniqueId, rank: usize, ranks: usize) -> Result<usize, NcclFault> {
        assert_eq!((rank, ranks, id), (self.rank, self.ranks, &[7; 128]));
        if self.refuses {
            return Err(NcclFault(5));
        }
        self.world.lock().expect("whole").begun.insert(rank);
        Ok(rank)
    }

    fn state(&self, of: usize) -> CommState {
        let world = self.world.lock().expect("whole");
        assert!(!world.aborted.contains(&of), "the handle is gone");
        match world.fault {
            Some(fault) => CommState::Failed(fault),
            None if world.begun.len() < self.ranks => CommState::InProgress,
            None => CommState::Ready,
        }
    }

    fn all_reduce(&self, of: usize, _: Buffers) -> Result<(), NcclFault> {
        let mut world = self.world.lock().expect("whole");
        assert!(!world.aborted.contains(&of), "the handle is gone");
        world.queued += 1;
        world.fault.map_or(Ok(()), Err)
    }

    fn abort(&self, of: usize) {
        let mut world = self.world.lock().expect("whole");
        assert!(!world.aborted.contains(&of), "aborted once");
        world.aborted.push(of);
    }
}

const BUFFERS: Buffers = Buffers { from: 1, to: 2, values: 3, stream: 4 };

/// What each of three ranks finds, of which one may refuse or have no library.
fn connected(refusing: Option<usize>, lacking: Option<usize>) -> (Vec<Option<String>>, Vec<usize>) {
    let world = Arc::<Mutex<World>>::default();
    let found = on_all(3, |rank, mesh| {
        let (world, refuses) = (Arc::clone(&world), refusing == Some(rank));
        let library = Arc::new(FakeNccl { world, rank, ranks: 3, refuses });
        let library = Some(&library).filter(|_| lacking != Some(rank));
        let patience = Duration::from_millis(50);
        let connected = connect(mesh, library, patience).expect("the group is whole");
        if let Ok(communicator) = &connected {
            communicator.all_reduce(BUFFERS).expect("queued");
        }
        connected.err()
    });
    let world = world.lock().expect("whole");
    assert_eq!(world.queued, if found.iter().all(Option::is_none) { 3 } else { 0 });
    (found, world.aborted.clone())
}

#[test]
fn all_ranks_get_a_communicator_and_end_it_once() {
    let (found, mut aborted) = connected(None, None);
    assert_eq!(found, [None, None, None]);
    aborted.sort_unstable();
    assert_eq!(aborted, [0, 1, 2]);
}

#[test]
fn a_rank_that_cannot_set_it_up_keeps_all_on_their_links() {
    let (found, mut aborted) = connected(Some(1), None);
    // The others waited for it until their patience was over.
    let late = "NCCL: no answer of all ranks in 0.05 s";
    let refused = "NCCL: used in a way that it refuses, as two ranks on one GPU (ncclResult_t 5)";
    assert_eq!(found, [late, refused, late].map(|why| Some(why.to_owned())));
    aborted.sort_unstable();
    assert_eq!(aborted, [0, 2]);
    let (found, aborted) = connected(None, Some(2));
    assert!(found.iter().all(|f| f.as_deref() == Some("rank 2 of the group has no NCCL")));
    assert!(aborted.is_empty(), "nobody began");
}

#[test]
fn a_lost_rank_ends_what_a_device_waits_for_though_no_call_is_made() {
    let (library, fate) = (FakeNccl::alone(), Fate::default());
    let communicator = library.open(&fate);
    fate.end(1, "its node is gone".to_owned());
    until(|| !library.aborted().is_empty());
    let error = communicator.all_reduce(BUFFERS).expect_err("ended").to_string();
    assert!(error.contains("its node is gone"), "{error}");
    drop(communicator);
    assert_eq!(library.aborted(), [0]);
}

#[test]
fn a_fault_that_nccl_finds_by_itself_ends_the_group() {
    let (library, fate) = (FakeNccl::alone(), Fate::default());
    let communicator = library.open(&fate);
    fate.check().expect("whole");
    library.fail(6);
    until(|| fate.check().is_err());
    let said = "a peer or the network failed (ncclResult_t 6)".to_owned();
    assert_eq!(communicator.all_reduce(BUFFERS), Err(CollectiveError::Nccl(said)));
    until(|| library.aborted() == [0]);
}

#[test]
fn a_setup_ends_with_its_group() {
    let library = FakeNccl { world: Arc::default(), rank: 0, ranks: 2, refuses: false };
    let (library, fate) = (Arc::new(library), Fate::default());
    fate.end(1, "its node is gone".to_owned());
    let seat = Seat { rank: 0, ranks: 2 };
    let error = Communicator::open(&library, &[7; 128], seat, &fate, PATIENCE).map(drop);
    assert!(matches!(error, Err(CollectiveError::RankLost { rank: 1, .. })), "{error:?}");
    assert_eq!(library.aborted(), [0]);
}

#[test]
fn a_group_without_nccl_says_why_and_adds_up_over_its_links() {
    let group = in_process_group(2, PATIENCE).into_iter();
    let ranks: Vec<_> = group.map(|mesh| std::thread::spawn(move || sum_of(mesh))).collect();
    for rank in ranks {
        let (sum, instead) = rank.join().expect("no panic");
        assert_eq!((sum, instead.as_deref()), (3.0, Some("rank 0 of the group has no NCCL")));
    }
}

fn sum_of(mesh: Mesh) -> (f32, Option<String>) {
    let mut values = [1.0 + mesh.seat().rank as f32];
    // The ranks of this group are on the CPU, whatever the build has.
    let Joined { mut group, instead } = over_nccl(mesh, None, &[]).expect("whole");
    group.all_reduce(&mut values).expect("whole");
    (values[0], instead)
}

/// The watch looks every 20 ms.
fn until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "it never came");
        std::thread::sleep(Duration::from_millis(1));
    }
}
