//! The PCI bus: configuration space, registers of devices, MSI-X.
//!
//! # Overview
//!
//! Configuration space is accessed through ports 0xcf8 and 0xcfc, which both of QEMU's PC chipsets have. With both loaders, the
//! firmware has already assigned addresses to every device. A device's interrupts are messages (MSI-X): the device itself writes to
//! the local APIC of a CPU. So there is no interrupt controller in between and nothing to acknowledge at the device, and each
//! queue can have its own CPU.
//!
//! # Contexts
//!
//! Configuration space and MSI-X: the boot processor, before other CPUs enter the kernel. [`Window`]: any.
//!
//! # Limitations
//!
//! Only bus 0 is searched, because `scripts/boot` puts no cards behind bridges. Interrupts are not moved while the machine runs.
//!
//! # Sources
//!
//! PCI Local Bus Specification 3.0, 3.2.2.3.2 and 6.8.2; Intel SDM volume 3, "Message Signalled Interrupts".

use core::ptr;

use virtio_drivers::transport::pci::bus::{Command, ConfigurationAccess, DeviceFunction, PciRoot};
use x86_64::instructions::port::Port;

use super::Unfit;
use crate::memory;

/// Configuration space, through the ports.
pub(super) struct Ports;

impl Ports {
    const ADDRESS: u16 = 0xcf8;
    const DATA: u16 = 0xcfc;

    /// Selects the word at `offset` for the data port.
    fn select(at: DeviceFunction, offset: u8) {
        const ENABLE: u32 = 1 << 31;
        let DeviceFunction {
            bus,
            device,
            function,
        } = at;
        let place = u32::from(bus) << 16 | u32::from(device) << 11 | u32::from(function) << 8;
        // SAFETY: only this module uses the two ports, on one CPU.
        unsafe { Port::<u32>::new(Ports::ADDRESS).write(ENABLE | place | u32::from(offset & !3)) };
    }
}

impl ConfigurationAccess for Ports {
    fn read_word(&self, at: DeviceFunction, offset: u8) -> u32 {
        Ports::select(at, offset);
        // SAFETY: as in `select`; what is read here is read without effect.
        unsafe { Port::<u32>::new(Ports::DATA).read() }
    }

    fn write_word(&mut self, at: DeviceFunction, offset: u8, word: u32) {
        Ports::select(at, offset);
        // SAFETY: as in `select`; the callers answer for what they configure.
        unsafe { Port::<u32>::new(Ports::DATA).write(word) };
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Ports
    }
}

/// The word at `offset` of a device's configuration space.
pub(super) fn word(at: DeviceFunction, offset: u8) -> u32 {
    Ports.read_word(at, offset)
}

/// The bus, for `virtio-drivers`.
pub(super) fn root() -> PciRoot<Ports> {
    PciRoot::new(Ports)
}

/// Enables the device's memory and its access to memory, and disables its interrupt line.
pub(super) fn enable(root: &mut PciRoot<Ports>, at: DeviceFunction) {
    root.set_command(
        at,
        Command::MEMORY_SPACE | Command::BUS_MASTER | Command::INTERRUPT_DISABLE,
    );
}

/// A size of registers.
pub(super) trait Register: Copy {}
impl Register for u16 {}
impl Register for u32 {}

/// Registers of a device, mapped uncached at their physical address.
#[derive(Clone, Copy)]
pub(super) struct Window {
    start: usize,
    len: usize,
}

impl Window {
    /// The `len` bytes at `offset` of the memory that the device's `bar` names.
    pub(super) fn new(
        root: &mut PciRoot<Ports>,
        at: DeviceFunction,
        bar: u8,
        offset: u32,
        len: u32,
    ) -> Result<Window, Unfit> {
        let info = root.bar_info(at, bar).ok().flatten();
        let Some((address, size)) = info.and_then(|info| info.memory_address_size()) else {
            return Err(Unfit::NoMemory { bar });
        };
        let start = address.saturating_add(u64::from(offset));
        let end = start.saturating_add(u64::from(len));
        let devices = memory::DEVICES.start as u64..=memory::DEVICES.end as u64;
        if !devices.contains(&start)
            || !devices.contains(&end)
            || u64::from(offset) + u64::from(len) > size
        {
            return Err(Unfit::Registers { bar, start, end });
        }
        Ok(Window {
            start: start as usize,
            len: len as usize,
        })
    }

    /// Its length in bytes.
    pub(super) fn len(self) -> u32 {
        self.len as u32
    }

    fn at<T: Register>(self, offset: usize) -> *mut T {
        let inside = offset
            .checked_add(size_of::<T>())
            .is_some_and(|end| end <= self.len);
        assert!(
            inside && (self.start + offset).is_multiple_of(align_of::<T>()),
            "no register of {} bytes at {offset} of {}",
            size_of::<T>(),
            self.len
        );
        ptr::with_exposed_provenance_mut(self.start + offset)
    }

    /// Reads the register at `offset`.
    pub(super) fn read<T: Register>(self, offset: usize) -> T {
        // SAFETY: a register inside of the device's memory, which is mapped and aligned; no other reference to it exists.
        unsafe { self.at::<T>(offset).read_volatile() }
    }

    /// Writes the register at `offset`.
    pub(super) fn write<T: Register>(self, offset: usize, value: T) {
        // SAFETY: as for `read`; the callers answer for what they ask of the device.
        unsafe { self.at::<T>(offset).write_volatile(value) }
    }
}

/// The interrupt messages of a device.
pub(super) struct Msix {
    at: DeviceFunction,
    capability: u8,
    table: Window,
    len: usize,
}

impl Msix {
    const CAPABILITY: u8 = 0x11;
    const ENTRY_BYTES: u32 = 16;
    /// In the capability's upper half word.
    const ENABLE: u16 = 1 << 15;
    const MASK_ALL: u16 = 1 << 14;
    const LAST: u16 = 0x7ff;

    /// Finds the table of the device's messages.
    pub(super) fn of(root: &mut PciRoot<Ports>, at: DeviceFunction) -> Result<Msix, Unfit> {
        let mut capabilities = root.capabilities(at);
        let found = capabilities.find(|found| found.id == Msix::CAPABILITY);
        let found = found.ok_or(Unfit::NoMsix)?;
        let (capability, control) = (found.offset, found.private_header);
        let len = usize::from(control & Msix::LAST) + 1;
        let place = word(at, capability + 4);
        let (bar, offset) = ((place & 7) as u8, place & !7);
        let table = Window::new(root, at, bar, offset, len as u32 * Msix::ENTRY_BYTES)?;
        Ok(Msix {
            at,
            capability,
            table,
            len,
        })
    }

    /// Number of messages that the device has.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Makes message `number` interrupt the CPU with this APIC, at `vector`.
    pub(super) fn set(&self, number: u16, apic_id: u32, vector: u8) {
        /// The address range of the local APICs; bits 12 to 19 are the number of one.
        const APICS: u32 = 0xfee0_0000;
        let entry = usize::from(number) * Msix::ENTRY_BYTES as usize;
        self.table.write(entry, APICS | apic_id << 12);
        self.table.write(entry + 4, 0_u32);
        self.table.write(entry + 8, u32::from(vector));
        // Not masked.
        self.table.write(entry + 12, 0_u32);
    }

    /// Lets the device send its messages.
    pub(super) fn enable(&self) {
        let word = word(self.at, self.capability);
        let control = (word >> 16) as u16;
        let control = control & !Msix::MASK_ALL | Msix::ENABLE;
        Ports.write_word(
            self.at,
            self.capability,
            u32::from(control) << 16 | word & 0xffff,
        );
    }
}
