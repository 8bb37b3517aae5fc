//! mbuf(9).

use super::{Breach, breach};
use crate::net::mbuf::Mbuf;

pub(super) static BREACHES: &[Breach] =
    &[breach!("mbuf-dropped": "drops a packet instead of freeing it", || drop(Mbuf::get()))];
