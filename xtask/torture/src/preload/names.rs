//! The look-up of names: what ends in `.test` is this machine, and nothing is found while the harness says so.

use std::ffi::CStr;
use std::sync::OnceLock;

use libc::{addrinfo, c_char, c_int};

use crate::ground::ground;
use crate::words::Word;

type GetAddrInfo =
    unsafe extern "C" fn(*const c_char, *const c_char, *const addrinfo, *mut *mut addrinfo) -> c_int;

/// `getaddrinfo(3)`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    found: *mut *mut addrinfo,
) -> c_int {
    let Some(real) = real() else { return libc::EAI_FAIL };
    // SAFETY: a node that is given ends with a zero.
    let name = (!node.is_null()).then(|| unsafe { CStr::from_ptr(node) });
    let is_ours = name.is_some_and(|name| name.to_bytes().ends_with(b".test"));
    if is_ours && let Some(ground) = ground().filter(|ground| ground.told(Word::NamesFail) != 0) {
        ground.count(Word::NamesFailed);
        return libc::EAI_AGAIN;
    }
    let node = if is_ours { c"127.0.0.1".as_ptr() } else { node };
    // SAFETY: what we were given is handed on, but for the name.
    unsafe { real(node, service, hints, found) }
}

/// The C library's own.
fn real() -> Option<GetAddrInfo> {
    static REAL: OnceLock<Option<GetAddrInfo>> = OnceLock::new();
    *REAL.get_or_init(|| {
        // SAFETY: the name ends with a zero, and the C library's function of that name has that type.
        unsafe {
            let real = libc::dlsym(libc::RTLD_NEXT, c"getaddrinfo".as_ptr());
            (!real.is_null()).then(|| std::mem::transmute::<*mut libc::c_void, GetAddrInfo>(real))
        }
    })
}
