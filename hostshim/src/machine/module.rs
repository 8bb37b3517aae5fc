//! Modules: machine code that is loaded into a kernel when it boots.
//!
//! # Overview
//!
//! A [`Module`] is linked once and is the same for every machine. Each kernel of each machine gets a copy of it. The
//! code and the constants of a copy are a mapping of the machine, which nobody can write. The variables are in the
//! kernel's arena: they are a part of the image, so every run begins with the same values, and accesses to them are
//! checked.
//!
//! Relocations that could fail are refused when a module is linked ([`crate::c`]), so loading fails only if the arena
//! is full.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{PoisonError, RwLock};

use kmod::machine::{Field, ObjectKind};

use super::engine::Engine;
use super::label::descend;
use super::mapping::Mapping;
use super::marks::Marks;
use super::side::Host;
use super::source::Line;

/// The size of a page.
pub(crate) const PAGE: usize = 4096;

/// The two parts of a module.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Area {
    /// Functions and constants.
    Code,
    /// Variables.
    Data,
}

/// A place in a module.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Place {
    pub(crate) area: Area,
    pub(crate) offset: usize,
}

/// What a relocation refers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// Something in the module.
    Inside(Place),
    /// A function of this program, by its address.
    Host(usize),
}

/// How a relocation writes an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// The address, 8 bytes.
    Absolute,
    /// Its distance from the place, 8 bytes.
    Relative,
    /// The same, 4 bytes. Both ends are in the code.
    Short,
}

impl Form {
    /// Bytes that it writes.
    pub(crate) const fn size(self) -> usize {
        match self {
            Form::Absolute | Form::Relative => 8,
            Form::Short => 4,
        }
    }
}

/// A relocation. `at` and all its bytes are in the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixup {
    pub(crate) at: Place,
    pub(crate) form: Form,
    pub(crate) target: Target,
    pub(crate) addend: i64,
}

/// A variable, with names for what is in it.
#[derive(Clone, Debug)]
pub(crate) struct Global {
    pub(crate) name: String,
    /// Offset in the data.
    pub(crate) offset: usize,
    pub(crate) size: usize,
    pub(crate) fields: &'static [Field],
    pub(crate) sort: ObjectKind,
}

/// The source line of a part of the code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Index into [`Lines::files`].
    pub(crate) file: usize,
    pub(crate) line: u32,
}

/// The source lines of the code.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    /// Sorted, without overlaps.
    rows: Vec<Row>,
    files: Vec<String>,
}

impl Lines {
    /// A table of these rows, in any order.
    pub(crate) fn new(mut rows: Vec<Row>, files: Vec<String>) -> Lines {
        rows.retain(|row| row.start < row.end && row.file < files.len());
        rows.sort_by_key(|row| (row.start, row.end));
        rows.dedup_by(|later, earlier| later.start < earlier.end);
        Lines { rows, files }
    }

    /// The file and line of the code at `offset`.
    pub(crate) fn find(&self, offset: usize) -> Option<(&str, u32)> {
        let after = self.rows.partition_point(|row| row.start <= offset);
        let row = self.rows[..after].last()?;
        (offset < row.end).then(|| (self.files[row.file].as_str(), row.line))
    }
}

/// A function of the source in the code: where it begins and ends, and its name. One that is inlined has a part for each
/// place and range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Function {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) name: String,
    pub(crate) is_inlined: bool,
}

/// The functions of the code.
#[derive(Clone, Debug, Default)]
pub(crate) struct Functions(Vec<Function>);

impl Functions {
    /// A table of these, each before what is inlined into it.
    pub(crate) fn new(mut functions: Vec<Function>) -> Functions {
        functions.retain(|function| function.start < function.end);
        functions.sort_by_key(|function| std::cmp::Reverse(function.end - function.start));
        Functions(functions)
    }

    /// The same, to be looked through.
    pub(crate) fn all(&self) -> &[Function] {
        &self.0
    }

    /// The name of the innermost function at `offset`.
    pub(crate) fn name(&self, offset: usize) -> Option<&str> {
        let mut within = self.within(offset);
        within.next_back().map(|function| function.name.as_str())
    }

    /// The beginning of the function at `offset` into which the others there are inlined.
    pub(crate) fn whole(&self, offset: usize) -> Option<usize> {
        let mut within = self.within(offset).filter(|function| !function.is_inlined);
        within.next().map(|function| function.start)
    }

    fn within(&self, offset: usize) -> impl DoubleEndedIterator<Item = &Function> {
        let all = self.0.iter();
        all.filter(move |function| (function.start..function.end).contains(&offset))
    }
}

/// A linked module.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// Functions, then constants.
    pub(crate) code: Vec<u8>,
    /// Bytes of `code` that are executable: whole pages.
    pub(crate) executable: usize,
    /// The initial values of the variables.
    pub(crate) data: Vec<u8>,
    pub(crate) fixups: Vec<Fixup>,
    pub(crate) globals: Vec<Global>,
    /// Types that a variable stands for: the fields, by the offset of the variable in the data.
    pub(crate) types: BTreeMap<usize, &'static [Field]>,
    /// The fields of structures, by what the source calls such an object, or what points to one, and by size.
    pub(crate) structures: Structures,
    /// The structures of all files, by their names.
    pub(crate) named: Vec<(String, &'static [Field])>,
    pub(crate) lines: Lines,
    pub(crate) functions: Functions,
    pub(crate) marks: Option<Marks>,
}

/// The fields of structures by name and size. A name that means two structures of one size means none.
#[derive(Debug, Default)]
pub(crate) struct Structures(BTreeMap<(String, usize), Option<&'static [Field]>>);

impl Structures {
    /// `name` is a structure of that size, or points to one.
    pub(crate) fn add(&mut self, name: String, size: usize, fields: &'static [Field]) {
        let known = self.0.entry((name, size)).or_insert(Some(fields));
        if known.is_some_and(|known| !is_same(known, fields)) {
            *known = None;
        }
    }

    /// Adds what is known of another file.
    pub(crate) fn append(&mut self, other: Structures) {
        for ((name, size), fields) in other.0 {
            match fields {
                Some(fields) => self.add(name, size, fields),
                None => {
                    self.0.insert((name, size), None);
                }
            }
        }
    }

    /// The fields of an object of that name and size.
    pub(crate) fn find(&self, name: &str, size: usize) -> Option<&'static [Field]> {
        self.0.get(&(name.to_owned(), size)).copied().flatten()
    }
}

/// Whether two structures have the same fields at the same places: each file describes its types anew.
fn is_same(one: &[Field], other: &[Field]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|(a, b)| {
            (a.name, a.offset, a.size, a.count) == (b.name, b.offset, b.size, b.count)
                && is_same(a.fields, b.fields)
        })
}

/// The alignment of the data of a module.
pub(crate) const DATA_ALIGN: usize = PAGE;

impl Module {
    /// The bytes of the module for these addresses.
    pub(crate) fn relocated(&self, code_at: usize, data_at: usize) -> (Vec<u8>, Vec<u8>) {
        let (mut code, mut data) = (self.code.clone(), self.data.clone());
        let address = |place: Place| match place.area {
            Area::Code => code_at + place.offset,
            Area::Data => data_at + place.offset,
        };
        for fixup in &self.fixups {
            let target = match fixup.target {
                Target::Inside(place) => address(place),
                Target::Host(address) => address,
            };
            let value = target.wrapping_add_signed(fixup.addend as isize);
            let distance = value.wrapping_sub(address(fixup.at));
            let bytes = match fixup.form {
                Form::Absolute => value.to_le_bytes(),
                Form::Relative | Form::Short => distance.to_le_bytes(),
            };
            let area = match fixup.at.area {
                Area::Code => &mut code,
                Area::Data => &mut data,
            };
            let size = fixup.form.size();
            area[fixup.at.offset..fixup.at.offset + size].copy_from_slice(&bytes[..size]);
        }
        (code, data)
    }
}

/// The code of all modules that are loaded, by the address after its end.
static LOADED: RwLock<BTreeMap<usize, (usize, &'static Module)>> = RwLock::new(BTreeMap::new());

/// The file and line of the code of a module at this address.
pub(crate) fn line_of(address: usize) -> Option<Line> {
    let loaded = LOADED.read().unwrap_or_else(PoisonError::into_inner);
    let (_, &(start, module)) = loaded.range(address + 1..).next()?;
    let (file, line) = module.lines.find(address.checked_sub(start)?)?;
    Some(Line {
        file: file.to_owned(),
        line,
    })
}

/// A copy of a module in a kernel.
pub(crate) struct Loaded {
    kernel: usize,
    code: Mapping,
    code_size: usize,
    data: usize,
    module: &'static Module,
}

impl Loaded {
    fn address(&self, place: Place) -> usize {
        match place.area {
            Area::Code => self.code.address() + place.offset,
            Area::Data => self.data + place.offset,
        }
    }

    pub(crate) fn module(&self) -> &'static Module {
        self.module
    }

    /// The offset of an address in the code.
    pub(crate) fn offset_in_code(&self, address: usize) -> Option<usize> {
        let range = self.range();
        range.contains(&address).then(|| address - range.start)
    }

    /// The offset of an address in the variables.
    pub(crate) fn offset_in_data(&self, address: usize) -> Option<usize> {
        let offset = address.checked_sub(self.data)?;
        (offset < self.module.data.len()).then_some(offset)
    }

    fn range(&self) -> Range<usize> {
        self.code.address()..self.code.address() + self.code_size
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let mut loaded = LOADED.write().unwrap_or_else(PoisonError::into_inner);
        loaded.remove(&self.range().end);
    }
}

impl Engine {
    /// Loads a module into the running kernel, which boots. Returns false if the arena has no room for its variables.
    pub(crate) fn load_module(&self, module: &'static Module) -> bool {
        let _host = Host::begin();
        let size = module.data.len().max(1);
        let Ok(layout) = Layout::from_size_align(size, DATA_ALIGN) else {
            return false;
        };
        let data = self.memory(|memory| memory.alloc_heap(layout, "module"));
        if data.is_null() {
            return false;
        }
        self.memory(|memory| memory.expect_foreign());
        let code_size = module.code.len().max(1);
        let code = Mapping::new(code_size.next_multiple_of(PAGE).next_power_of_two(), PAGE);
        let (code_bytes, data_bytes) = module.relocated(code.address(), data.addr());
        let code_at = code.base().as_ptr();
        // SAFETY: (1) a fresh mapping that is at least as large; (2) no overlap.
        unsafe { code_at.copy_from_nonoverlapping(code_bytes.as_ptr(), code_bytes.len()) };
        // SAFETY: (1) fresh memory of the arena, of that size; (2) no overlap.
        unsafe { data.copy_from_nonoverlapping(data_bytes.as_ptr(), data_bytes.len()) };
        code.seal(module.executable);
        let loaded = Loaded {
            kernel: self.kernel(),
            code,
            code_size,
            data: data.addr(),
            module,
        };
        let Range { start, end } = loaded.range();
        LOADED
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(end, (start, module));
        self.modules.borrow_mut().push(loaded);
        if module.marks.is_some() {
            self.marker.is_on.set(true);
        }
        self.name_globals(module, data.addr());
        true
    }

    fn name_globals(&self, module: &Module, data: usize) {
        for global in &module.globals {
            let address = data + global.offset;
            if let Some(offset) = self.memory(|memory| memory.offset(address)) {
                let name = self.own_name(&global.name);
                self.census
                    .label(address, &name, global.fields, global.sort);
                let mut recorder = self.recorder.borrow_mut();
                recorder.put_label(offset, global.size, name, global.fields);
            }
        }
    }

    /// The address of a place in the running kernel's module.
    pub(crate) fn address_of(&self, place: Place) -> Option<usize> {
        let kernel = self.kernel();
        let modules = self.modules.borrow();
        let loaded = modules.iter().find(|loaded| loaded.kernel == kernel)?;
        Some(loaded.address(place))
    }

    /// The fields of the type that the variable at this address stands for.
    pub(crate) fn type_at(&self, address: usize) -> Option<&'static [Field]> {
        let modules = self.modules.borrow();
        modules.iter().find_map(|loaded| {
            let offset = address.checked_sub(loaded.data)?;
            loaded.module.types.get(&offset).copied()
        })
    }

    /// A name for memory that the kernel has given out and nobody has labelled, if a module knows its type: `entry#3.refs`.
    pub(super) fn describe_structure(&self, offset: usize) -> Option<String> {
        let modules = self.modules.borrow();
        let (what, size, inside) = self.memory(|memory| memory.what_is_at(offset))?;
        let mut known = modules.iter();
        let fields = known.find_map(|loaded| loaded.module.structures.find(what, size))?;
        let mut name = self.memory(|memory| memory.describe(offset - inside))?;
        descend(&mut name, fields, inside);
        Some(name)
    }

    /// Whether the address is in the code or the constants of a module.
    pub(crate) fn is_in_module(&self, address: usize) -> bool {
        let modules = self.modules.borrow();
        modules
            .iter()
            .any(|loaded| loaded.range().contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(start: usize, end: usize, line: u32) -> Row {
        Row {
            start,
            end,
            file: 0,
            line,
        }
    }

    #[test]
    fn a_line_is_found_in_its_range_only() {
        let rows = vec![row(8, 12, 2), row(0, 8, 1), row(20, 24, 3), row(22, 30, 4)];
        let lines = Lines::new(rows, vec!["a.c".to_owned()]);
        let line = |offset| lines.find(offset).map(|(_, line)| line);
        assert_eq!(line(0), Some(1));
        assert_eq!(line(7), Some(1));
        assert_eq!(line(8), Some(2));
        assert_eq!(line(12), None);
        assert_eq!(line(23), Some(3));
        assert_eq!(line(29), None, "rows do not overlap");
    }

    #[test]
    fn relocations_are_written_for_the_addresses_of_a_copy() {
        let place = |area, offset| Place { area, offset };
        let fixup = |at, form, target, addend| Fixup {
            at,
            form,
            target,
            addend,
        };
        let module = Module {
            code: vec![0; 32],
            data: vec![0; 16],
            fixups: vec![
                fixup(
                    place(Area::Code, 0),
                    Form::Absolute,
                    Target::Inside(place(Area::Data, 8)),
                    -4,
                ),
                fixup(
                    place(Area::Code, 8),
                    Form::Short,
                    Target::Inside(place(Area::Code, 24)),
                    -4,
                ),
                fixup(
                    place(Area::Data, 0),
                    Form::Relative,
                    Target::Host(0x1000),
                    0,
                ),
            ],
            ..Module::default()
        };
        let (code, data) = module.relocated(0x10_0000, 0x20_0000);
        assert_eq!(code[..8], 0x20_0004_u64.to_le_bytes());
        assert_eq!(code[8..12], 12_u32.to_le_bytes());
        assert_eq!(code[12..], [0; 20]);
        assert_eq!(data[..8], (0x1000_i64 - 0x20_0000).to_le_bytes());
    }
}
