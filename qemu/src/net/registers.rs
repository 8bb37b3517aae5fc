//! The registers of a virtio device that `virtio-drivers` does not expose: vectors and doorbells.
//!
//! # Contexts
//!
//! [`Registers`]: the boot processor, once. [`Bell`]: any; it is a single write, which several CPUs may do at once.
//! (`PciTransport::notify` selects a queue first, in a register that all queues share.)
//!
//! # Sources
//!
//! Virtual I/O Device (VIRTIO) Version 1.2, 4.1.4 "Virtio Structure PCI Capabilities".

use virtio_drivers::transport::pci::bus::{DeviceFunction, PCI_CAP_ID_VNDR, PciRoot};
use virtio_drivers::transport::pci::{VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_PCI_CAP_NOTIFY_CFG};

use super::Unfit;
use super::pci::{self, Ports, Window};

/// The vector that means no interrupt.
const NO_VECTOR: u16 = 0xffff;

/// Offsets in `struct virtio_pci_common_cfg`, and its size.
mod common {
    pub(super) const CONFIG_VECTOR: usize = 16;
    pub(super) const QUEUE_SELECT: usize = 22;
    pub(super) const QUEUE_VECTOR: usize = 26;
    pub(super) const QUEUE_BELL: usize = 30;
    pub(super) const BYTES: u32 = 56;
}

/// The common configuration, and the place of the notification registers.
pub(super) struct Registers {
    common: Window,
    bells: Window,
    /// Distance of notification registers in bytes.
    bell_step: usize,
}

impl Registers {
    /// Finds the registers by the device's capabilities.
    pub(super) fn of(root: &mut PciRoot<Ports>, at: DeviceFunction) -> Result<Registers, Unfit> {
        let (common, _) = structure(root, at, VIRTIO_PCI_CAP_COMMON_CFG)?;
        if common.len() < common::BYTES {
            return Err(Unfit::NoStructure {
                kind: VIRTIO_PCI_CAP_COMMON_CFG,
            });
        }
        let (bells, capability) = structure(root, at, VIRTIO_PCI_CAP_NOTIFY_CFG)?;
        Ok(Registers {
            common,
            bells,
            bell_step: pci::word(at, capability + 16) as usize,
        })
    }

    /// Switches off interrupts for changes of the device's configuration.
    pub(super) fn mute_configuration(&self) {
        self.common.write(common::CONFIG_VECTOR, NO_VECTOR);
    }

    /// Assigns message `vector` to the interrupts of queue `index`.
    pub(super) fn set_vector(&self, index: u16, vector: u16) -> Result<(), Unfit> {
        self.common.write(common::QUEUE_SELECT, index);
        self.common.write(common::QUEUE_VECTOR, vector);
        // A device without room for it reports that by not taking it.
        match self.common.read::<u16>(common::QUEUE_VECTOR) == vector {
            true => Ok(()),
            false => Err(Unfit::Vector { index, vector }),
        }
    }

    /// The notification register of queue `index`.
    pub(super) fn bell(&self, index: u16) -> Result<Bell, Unfit> {
        self.common.write(common::QUEUE_SELECT, index);
        let number = usize::from(self.common.read::<u16>(common::QUEUE_BELL));
        let offset = number * self.bell_step;
        match offset + size_of::<u16>() <= self.bells.len() as usize {
            true => Ok(Bell {
                bells: self.bells,
                offset,
                index,
            }),
            false => Err(Unfit::NoStructure {
                kind: VIRTIO_PCI_CAP_NOTIFY_CFG,
            }),
        }
    }
}

/// The registers of one kind, and the offset of the capability that names them.
fn structure(
    root: &mut PciRoot<Ports>,
    at: DeviceFunction,
    kind: u8,
) -> Result<(Window, u8), Unfit> {
    let mut capabilities = root.capabilities(at);
    let found = capabilities
        .find(|found| found.id == PCI_CAP_ID_VNDR && (found.private_header >> 8) as u8 == kind);
    let place = found.ok_or(Unfit::NoStructure { kind })?.offset;
    let bar = pci::word(at, place + 4) as u8;
    let (offset, len) = (pci::word(at, place + 8), pci::word(at, place + 12));
    Ok((Window::new(root, at, bar, offset, len)?, place))
}

/// Notifies the device about one queue.
pub(super) struct Bell {
    bells: Window,
    offset: usize,
    index: u16,
}

impl Bell {
    /// Tells the device that there is something in the queue.
    pub(super) fn ring(&self) {
        self.bells.write(self.offset, self.index);
    }
}
