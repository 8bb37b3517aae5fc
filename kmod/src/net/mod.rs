//! A small network stack over the primitives: what NetBSD keeps in `sys/net` and `sys/netinet`.
//!
//! # How to read it
//!
//! A packet is an [`mbuf`]. [`nic`] takes it from a network card in a hard interrupt. A program that wants
//! bare frames is a [`listener`].

pub mod listener;
pub mod mbuf;
pub mod nic;
