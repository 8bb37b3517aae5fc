//! The driver of the machine's network cards.

/// A card has received something. Called in a hard interrupt, at [`Ipl::Vm`](crate::kern::spl::Ipl).
pub(crate) fn intr() {
    super::listener::tell();
}
