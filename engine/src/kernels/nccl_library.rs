//! NCCL as it is installed: a handful of its functions, loaded as the program runs.
//!
//! cudarc has bindings too, but looks for `libnccl.so` alone, which comes with development files,
//! ends the process where that is missing, and holds results in an enum that newer versions leave.

use std::ffi::{c_int, c_void};
use std::sync::{Arc, Once, OnceLock};

use libloading::{Library, Symbol};

use crate::collective::{Buffers, CommState, NcclCalls, NcclFault, UniqueId};

const NAMES: [&str; 2] = ["libnccl.so.2", "libnccl.so"];
/// The first version whose communicators need not block.
const VERSION_MIN: u32 = 21_400;
const SUCCESS: c_int = 0;
const IN_PROGRESS: c_int = 7;
/// `ncclFloat32` and `ncclSum`.
const F32: c_int = 7;
const SUM: c_int = 0;
/// `NCCL_CONFIG_UNDEF_INT`: as the library likes.
const UNDEFINED: c_int = c_int::MIN;

type Comm = *mut c_void;

/// `ncclConfig_t` as it was in 2.14: newer libraries take what is behind it as undefined.
#[repr(C)]
struct Config {
    size: usize,
    magic: u32,
    version: u32,
    blocking: c_int,
    cga_cluster_size: c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Id(UniqueId);

/// The functions that a group calls. They may be called from any thread; calls on one communicator
/// must not overlap, which its lock sees to.
pub(crate) struct NcclLibrary {
    version: u32,
    unique_id: unsafe extern "C" fn(*mut Id) -> c_int,
    init: unsafe extern "C" fn(*mut Comm, c_int, Id, c_int, *mut Config) -> c_int,
    async_error: unsafe extern "C" fn(Comm, *mut c_int) -> c_int,
    all_reduce: unsafe extern "C" fn(
        *const c_void,
        *mut c_void,
        usize,
        c_int,
        c_int,
        Comm,
        *mut c_void,
    ) -> c_int,
    abort: unsafe extern "C" fn(Comm) -> c_int,
    /// What the pointers point into; last, so that it goes last.
    _library: Library,
}

impl NcclLibrary {
    /// Loaded once; the error says what is missing.
    pub(crate) fn of_process() -> Result<Arc<Self>, String> {
        static LIBRARY: OnceLock<Result<Arc<NcclLibrary>, String>> = OnceLock::new();
        LIBRARY.get_or_init(|| Self::load().map(Arc::new)).clone()
    }

    fn load() -> Result<Self, String> {
        // SAFETY: NCCL's initialisers have no conditions.
        let opened = NAMES.iter().find_map(|name| unsafe { Library::new(*name) }.ok());
        let library = opened.ok_or("NCCL (libnccl.so.2) is not installed")?;
        let version = version_of(&library)?;
        if version < VERSION_MIN {
            return Err(format!("NCCL {version} is too old: expected {VERSION_MIN} or newer"));
        }
        // SAFETY: the types are those of nccl.h in every version from 2.14 on.
        unsafe {
            Ok(Self {
                version,
                unique_id: *symbol(&library, "ncclGetUniqueId")?,
                init: *symbol(&library, "ncclCommInitRankConfig")?,
                async_error: *symbol(&library, "ncclCommGetAsyncError")?,
                all_reduce: *symbol(&library, "ncclAllReduce")?,
                abort: *symbol(&library, "ncclCommAbort")?,
                _library: library,
            })
        }
    }

    /// The interfaces that lead to the other ranks, for the first group of this process: NCCL looks
    /// once. An operator's own choice stays.
    pub(crate) fn prefer(&self, interfaces: &[String]) {
        static CHOSEN: Once = Once::new();
        const VARIABLE: &str = "NCCL_SOCKET_IFNAME";
        if interfaces.is_empty() {
            return;
        }
        CHOSEN.call_once(|| {
            if std::env::var_os(VARIABLE).is_none() {
                // SAFETY: Rust code reads the environment under a lock that this call takes; C code
                // that reads it meanwhile (a resolver) is what NCCL itself risks, which sets
                // variables of its configuration files in its first call.
                unsafe { std::env::set_var(VARIABLE, format!("={}", interfaces.join(","))) };
            }
        });
    }
}

fn version_of(library: &Library) -> Result<u32, String> {
    let mut version = 0;
    // SAFETY: as in nccl.h; the pointer is valid for the call.
    let result = unsafe {
        let get: Symbol<'_, unsafe extern "C" fn(*mut c_int) -> c_int> =
            symbol(library, "ncclGetVersion")?;
        get(&raw mut version)
    };
    check(result).map_err(|fault| format!("NCCL does not tell its version: {fault}"))?;
    u32::try_from(version).map_err(|_| format!("NCCL says that its version is {version}"))
}

/// # Safety
/// `T` must be the type of the function `name`.
unsafe fn symbol<'a, T>(library: &'a Library, name: &str) -> Result<Symbol<'a, T>, String> {
    // SAFETY: the caller's.
    unsafe { library.get(name.as_bytes()) }.map_err(|error| format!("NCCL lacks {name}: {error}"))
}

fn check(result: c_int) -> Result<(), NcclFault> {
    match result {
        SUCCESS | IN_PROGRESS => Ok(()),
        fault => Err(NcclFault(fault)),
    }
}

impl NcclCalls for NcclLibrary {
    /// The address of a communicator.
    type Handle = usize;

    fn version(&self) -> u32 {
        self.version
    }

    fn unique_id(&self) -> Result<UniqueId, NcclFault> {
        let mut id = Id([0; size_of::<UniqueId>()]);
        // SAFETY: the pointer is valid for the call.
        check(unsafe { (self.unique_id)(&raw mut id) })?;
        Ok(id.0)
    }

    fn begin(&self, id: &UniqueId, rank: usize, ranks: usize) -> Result<usize, NcclFault> {
        let mut config = Config {
            size: size_of::<Config>(),
            magic: 0xcafe_beef,
            version: VERSION_MIN,
            blocking: 0,
            cga_cluster_size: UNDEFINED,
        };
        let mut comm: Comm = std::ptr::null_mut();
        let (rank, ranks) = (rank as c_int, ranks as c_int);
        // SAFETY: the pointers are valid for the call, in which the library copies what it needs.
        check(unsafe { (self.init)(&raw mut comm, ranks, Id(*id), rank, &raw mut config) })?;
        Ok(comm as usize)
    }

    fn state(&self, of: usize) -> CommState {
        let mut state = SUCCESS;
        // SAFETY: the handle is of `begin` and was not aborted; the pointer is valid for the call.
        let result = unsafe { (self.async_error)(of as Comm, &raw mut state) };
        match (check(result), state) {
            (Err(fault), _) => CommState::Failed(fault),
            (Ok(()), SUCCESS) => CommState::Ready,
            (Ok(()), IN_PROGRESS) => CommState::InProgress,
            (Ok(()), fault) => CommState::Failed(NcclFault(fault)),
        }
    }

    fn all_reduce(&self, of: usize, buffers: Buffers) -> Result<(), NcclFault> {
        let Buffers { from, to, values, stream } = buffers;
        let (from, to) = (from as *const c_void, to as *mut c_void);
        // SAFETY: the handle is of `begin` and was not aborted; both buffers hold as many values on
        // the stream's device, which frees them in the stream's order, behind this call.
        check(unsafe {
            (self.all_reduce)(from, to, values, F32, SUM, of as Comm, stream as *mut c_void)
        })
    }

    fn abort(&self, of: usize) {
        // SAFETY: the handle is of `begin` and was not aborted before: its owner took it out.
        let _ = unsafe { (self.abort)(of as Comm) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::print_stdout, reason = "a skipped library must be seen")]
    fn two_ids_of_an_installed_library_differ() {
        let library = match NcclLibrary::of_process() {
            Ok(library) => library,
            Err(missing) => {
                assert!(missing.contains("NCCL"), "{missing}");
                println!("SKIPPED: {missing}");
                return;
            }
        };
        assert!(library.version() >= VERSION_MIN);
        let [first, second] = [(), ()].map(|()| library.unique_id().expect("an id"));
        assert_ne!(first, second);
    }
}
