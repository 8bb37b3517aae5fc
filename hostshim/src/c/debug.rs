//! What the debugging information of an object file says: source lines of the code, and names in its variables.

use std::collections::BTreeMap;

use gimli::{
    AttributeValue, DebuggingInformationEntry, EndianSlice, LittleEndian, Operation, Unit,
    UnitOffset,
};
use kmod::machine::{Field, ObjectKind};
use object::elf::{R_X86_64_32, R_X86_64_64};
use object::{
    Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, SectionIndex,
};

use crate::machine::module::{Area, Function, Global, Place, Row, Structures};

/// Where the code is thought to be while debugging information is read. It is nowhere yet.
const CODE: u64 = 1 << 40;
/// Likewise for the variables.
const DATA: u64 = 1 << 41;

/// Structures in structures, at most: C has no such limit, and damaged files have no end.
const DEPTH: usize = 16;
/// Elements of a global array that have names of their own.
const ELEMENTS: usize = 64;

/// The end of the names of members that are memory for the kernel's own objects, in its headers.
const OPAQUE: &str = "_opaque";

/// A pointer of this name, in <rumplab.h>, stands for the type of what it points to.
const TYPE: &str = "rumplab_type";

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Dwarf<'a> = gimli::Dwarf<Slice<'a>>;
type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;

/// What was read of one file.
#[derive(Default)]
pub(super) struct Debug {
    pub(super) rows: Vec<Row>,
    /// Index of [`Row::file`].
    pub(super) files: Vec<String>,
    pub(super) globals: Vec<Global>,
    /// Types that a variable stands for ([`TYPE`]), by its offset in the data.
    pub(super) types: BTreeMap<usize, &'static [Field]>,
    pub(super) structures: Structures,
    pub(super) functions: Vec<Function>,
    /// Structures by their tags and the names of their types, with all fields.
    pub(super) named: Vec<(String, &'static [Field])>,
}

/// Reads the debugging information of a file whose sections are at these places. The variables have `data_size` bytes, and the primitives
/// of `replaced` are the program's.
///
/// # Errors
///
/// If it cannot be read.
pub(super) fn read(
    file: &object::File<'_>,
    layout: &BTreeMap<usize, Place>,
    data_size: usize,
    replaced: &[String],
) -> Result<Debug, String> {
    let mut sections = BTreeMap::new();
    for section in file.sections() {
        if let Ok(name) = section.name()
            && name.starts_with(".debug")
        {
            sections.insert(name.to_owned(), relocated(file, &section, layout)?);
        }
    }
    let empty = Vec::new();
    let load = |id: gimli::SectionId| -> Result<Slice<'_>, gimli::Error> {
        let bytes = sections.get(id.name()).unwrap_or(&empty);
        Ok(EndianSlice::new(bytes, LittleEndian))
    };
    let read = Dwarf::load(load).and_then(|dwarf| {
        let mut reader = Reader {
            dwarf,
            data_size,
            replaced,
            debug: Debug::default(),
        };
        reader.read()?;
        Ok(reader.debug)
    });
    read.map_err(|error| {
        format!("its debugging information cannot be read: {error}\n  help: compile it with -g")
    })
}

/// The bytes of a section of debugging information, with addresses.
fn relocated<'data>(
    file: &object::File<'_>,
    section: &impl ObjectSection<'data>,
    layout: &BTreeMap<usize, Place>,
) -> Result<Vec<u8>, String> {
    let bytes = section.data().map_err(|error| error.to_string())?;
    let mut bytes = bytes.to_vec();
    let address = |section: SectionIndex| match layout.get(&section.0) {
        Some(Place {
            area: Area::Code,
            offset,
        }) => CODE + *offset as u64,
        Some(Place {
            area: Area::Data,
            offset,
        }) => DATA + *offset as u64,
        None => 0,
    };
    for (offset, relocation) in section.relocations() {
        let RelocationFlags::Elf { r_type } = relocation.flags() else {
            continue;
        };
        let size = match r_type {
            R_X86_64_64 => 8,
            R_X86_64_32 => 4,
            _ => continue,
        };
        let target = match relocation.target() {
            RelocationTarget::Symbol(index) => file.symbol_by_index(index).ok().map(|symbol| {
                let base = symbol.section_index().map_or(0, address);
                base.wrapping_add(symbol.address())
            }),
            RelocationTarget::Section(index) => Some(address(index)),
            _ => None,
        };
        let Some(target) = target else { continue };
        let value = target
            .wrapping_add_signed(relocation.addend())
            .to_le_bytes();
        let place = usize::try_from(offset)
            .ok()
            .and_then(|offset| bytes.get_mut(offset..offset.checked_add(size)?));
        if let Some(place) = place {
            place.copy_from_slice(&value[..size]);
        }
    }
    Ok(bytes)
}

struct Reader<'a> {
    dwarf: Dwarf<'a>,
    data_size: usize,
    replaced: &'a [String],
    debug: Debug,
}

/// A type: how large it is, and what is in it.
#[derive(Clone, Copy)]
struct Shape {
    size: usize,
    /// Number of elements of an array, otherwise 0.
    count: usize,
    fields: &'static [Field],
    sort: ObjectKind,
}

impl Shape {
    const WORD: Shape = Shape {
        size: 0,
        count: 0,
        fields: &[],
        sort: ObjectKind::Other,
    };
}

/// The shapes of types that were read. Fields are kept for as long as the program runs, so each type is read once.
type Shapes = BTreeMap<usize, Shape>;

impl<'a> Reader<'a> {
    fn read(&mut self) -> gimli::Result<()> {
        let mut units = self.dwarf.units();
        while let Some(header) = units.next()? {
            let unit = self.dwarf.unit(header)?;
            self.lines(&unit)?;
            let mut shapes = Shapes::new();
            self.variables(&unit, &mut shapes)?;
            self.structures(&unit, &mut shapes)?;
            self.functions(&unit)?;
        }
        Ok(())
    }

    fn lines(&mut self, unit: &Unit<Slice<'a>>) -> gimli::Result<()> {
        let Some(program) = unit.line_program.clone() else {
            return Ok(());
        };
        let first = self.debug.files.len();
        // By the number that the table gives a file.
        let mut known: BTreeMap<u64, usize> = BTreeMap::new();
        let mut before: Option<(usize, usize, u32)> = None;
        let mut rows = program.rows();
        while let Some((header, row)) = rows.next_row()? {
            let end = row.address().checked_sub(CODE).map(|at| at as usize);
            let last = before.take();
            if let (Some((start, file, line)), Some(end)) = (last, end) {
                self.debug.rows.push(Row {
                    start,
                    end,
                    file,
                    line,
                });
            }
            if row.end_sequence() {
                continue;
            }
            let Some(start) = end else { continue };
            let Some(line) = row.line() else {
                // What the compiler has added belongs to the line before.
                before = last.map(|(_, file, line)| (start, file, line));
                continue;
            };
            let index = row.file_index();
            let file = match known.get(&index) {
                Some(file) => *file,
                None => {
                    let name = match header.file(index) {
                        Some(file) => self.name_of(unit, header, file)?,
                        None => "?".to_owned(),
                    };
                    let file = self.debug.files.len().max(first);
                    self.debug.files.push(name);
                    known.insert(index, file);
                    file
                }
            };
            let line = u32::try_from(line.get()).unwrap_or(0);
            before = Some((start, file, line));
        }
        Ok(())
    }

    /// The path of a file, as the compiler was given it.
    fn name_of(
        &self,
        unit: &Unit<Slice<'a>>,
        header: &gimli::LineProgramHeader<Slice<'a>>,
        file: &gimli::FileEntry<Slice<'a>>,
    ) -> gimli::Result<String> {
        let text = |value| -> gimli::Result<String> {
            let text = self.dwarf.attr_string(unit, value)?;
            Ok(text.to_string_lossy().into_owned())
        };
        let name = text(file.path_name())?;
        let directory = match file.directory(header) {
            Some(directory) if !name.starts_with('/') => text(directory)?,
            _ => String::new(),
        };
        let path = match directory.as_str() {
            "" | "." => name,
            directory => format!("{directory}/{name}"),
        };
        Ok(path.trim_start_matches("./").to_owned())
    }

    fn variables(&mut self, unit: &Unit<Slice<'a>>, shapes: &mut Shapes) -> gimli::Result<()> {
        let mut entries = unit.entries();
        let mut found = Vec::new();
        while let Some(entry) = entries.next_dfs()? {
            if entry.tag() != gimli::DW_TAG_variable {
                continue;
            }
            let Some(offset) = self.address_of(unit, entry)? else {
                continue;
            };
            // A variable that was declared before its definition has its name and type there.
            let declared = match entry.attr_value(gimli::DW_AT_specification) {
                Some(AttributeValue::UnitRef(at)) => Some(unit.entry(at)?),
                _ => None,
            };
            let name = self.name(unit, entry)?;
            let name = match (&declared, name) {
                (Some(declared), None) => self.name(unit, declared)?,
                (_, name) => name,
            };
            let of = type_of(entry).or_else(|| declared.as_ref().and_then(type_of));
            if let Some(name) = name {
                found.push((offset, name, of));
            }
        }
        for (offset, name, of) in found {
            if name == TYPE {
                let pointer = of.map(|at| unit.entry(at)).transpose()?;
                let of = pointer.as_ref().and_then(type_of);
                let shape = self.shape(unit, of, shapes, 0)?;
                self.debug.types.insert(offset, shape.fields);
                continue;
            }
            let shape = self.shape(unit, of, shapes, 0)?;
            self.add(offset, name, shape);
        }
        Ok(())
    }

    /// What the file calls its structures, and pointers to them.
    fn structures(&mut self, unit: &Unit<Slice<'a>>, shapes: &mut Shapes) -> gimli::Result<()> {
        let mut entries = unit.entries();
        let mut found = Vec::new();
        while let Some(entry) = entries.next_dfs()? {
            let structure = match entry.tag() {
                gimli::DW_TAG_structure_type => Some(entry.offset()),
                gimli::DW_TAG_typedef => type_of(entry),
                gimli::DW_TAG_variable | gimli::DW_TAG_formal_parameter | gimli::DW_TAG_member => {
                    self.pointee(unit, type_of(entry))?
                }
                _ => None,
            };
            let origin = match entry.attr_value(gimli::DW_AT_abstract_origin) {
                // It is described where it is declared.
                Some(_) => None,
                None => self.name(unit, entry)?,
            };
            let is_type = matches!(
                entry.tag(),
                gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type | gimli::DW_TAG_typedef
            );
            if let (Some(structure), Some(name)) = (structure, origin) {
                found.push((name, structure, is_type));
            }
        }
        for (name, structure, is_type) in found {
            let shape = self.shape(unit, Some(structure), shapes, 0)?;
            if is_type && shape.count == 0 && !shape.fields.is_empty() {
                self.debug.named.push((name.clone(), shape.fields));
            }
            if !shape.fields.is_empty() && shape.count == 0 {
                self.debug.structures.add(name, shape.size, shape.fields);
            }
        }
        Ok(())
    }

    /// Where the code of each function is, also where it is inlined.
    fn functions(&mut self, unit: &Unit<Slice<'a>>) -> gimli::Result<()> {
        let mut entries = unit.entries();
        while let Some(entry) = entries.next_dfs()? {
            let is_inlined = match entry.tag() {
                gimli::DW_TAG_subprogram => false,
                gimli::DW_TAG_inlined_subroutine => true,
                _ => continue,
            };
            let Some(name) = self.name_of_function(unit, entry)? else {
                continue;
            };
            let mut ranges = self.dwarf.die_ranges(unit, entry)?;
            while let Some(range) = ranges.next()? {
                let at = |address: u64| address.checked_sub(CODE).map(|at| at as usize);
                if let (Some(start), Some(end)) = (at(range.begin), at(range.end)) {
                    let name = name.clone();
                    self.debug.functions.push(Function {
                        start,
                        end,
                        name,
                        is_inlined,
                    });
                }
            }
        }
        Ok(())
    }

    /// The name of a function, which is where it is described first.
    fn name_of_function(
        &self,
        unit: &Unit<Slice<'a>>,
        entry: &Entry<'a>,
    ) -> gimli::Result<Option<String>> {
        let mut entry = entry.clone();
        for _ in 0..DEPTH {
            if let Some(name) = self.name(unit, &entry)? {
                return Ok(Some(name));
            }
            let origin = entry
                .attr_value(gimli::DW_AT_abstract_origin)
                .or_else(|| entry.attr_value(gimli::DW_AT_specification));
            let Some(AttributeValue::UnitRef(at)) = origin else {
                break;
            };
            entry = unit.entry(at)?;
        }
        Ok(None)
    }

    /// What a pointer points to.
    fn pointee(
        &self,
        unit: &Unit<Slice<'a>>,
        of: Option<UnitOffset>,
    ) -> gimli::Result<Option<UnitOffset>> {
        let mut of = of;
        for _ in 0..DEPTH {
            let Some(at) = of else { break };
            let entry = unit.entry(at)?;
            match entry.tag() {
                gimli::DW_TAG_pointer_type => return Ok(type_of(&entry)),
                gimli::DW_TAG_typedef
                | gimli::DW_TAG_const_type
                | gimli::DW_TAG_volatile_type
                | gimli::DW_TAG_restrict_type => of = type_of(&entry),
                _ => break,
            }
        }
        Ok(None)
    }

    fn add(&mut self, offset: usize, name: String, shape: Shape) {
        let Shape {
            size,
            count,
            fields,
            sort,
        } = shape;
        let size = size.max(1);
        if offset
            .checked_add(size)
            .is_none_or(|end| end > self.data_size)
        {
            return;
        }
        let global = |name, offset, size| Global {
            name,
            offset,
            size,
            fields,
            sort,
        };
        if count == 0 || count > ELEMENTS {
            self.debug.globals.push(global(name, offset, size));
            return;
        }
        let element = size / count;
        for index in 0..count {
            let name = format!("{name}[{index}]");
            self.debug
                .globals
                .push(global(name, offset + index * element, element));
        }
    }

    /// The offset of a variable in the data.
    fn address_of(
        &self,
        unit: &Unit<Slice<'a>>,
        entry: &Entry<'a>,
    ) -> gimli::Result<Option<usize>> {
        let Some(AttributeValue::Exprloc(expression)) = entry.attr_value(gimli::DW_AT_location)
        else {
            return Ok(None);
        };
        let address = match expression.operations(unit.encoding()).next()? {
            Some(Operation::Address { address }) => address,
            Some(Operation::AddressIndex { index }) => self.dwarf.address(unit, index)?,
            _ => return Ok(None),
        };
        let offset = address.checked_sub(DATA).map(|offset| offset as usize);
        Ok(offset.filter(|offset| *offset < self.data_size))
    }

    fn name(&self, unit: &Unit<Slice<'a>>, entry: &Entry<'a>) -> gimli::Result<Option<String>> {
        match entry.attr_value(gimli::DW_AT_name) {
            Some(value) => {
                let name = self.dwarf.attr_string(unit, value)?;
                Ok(Some(name.to_string_lossy().into_owned()))
            }
            None => Ok(None),
        }
    }

    fn shape(
        &self,
        unit: &Unit<Slice<'a>>,
        of: Option<UnitOffset>,
        shapes: &mut Shapes,
        depth: usize,
    ) -> gimli::Result<Shape> {
        let Some(at) = of.filter(|_| depth < DEPTH) else {
            return Ok(Shape::WORD);
        };
        if let Some(shape) = shapes.get(&at.0) {
            return Ok(*shape);
        }
        let entry = unit.entry(at)?;
        let size = number(&entry, gimli::DW_AT_byte_size).unwrap_or(0);
        let mut inner = |of| self.shape(unit, of, shapes, depth + 1);
        let shape = match entry.tag() {
            gimli::DW_TAG_typedef
            | gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type
            | gimli::DW_TAG_atomic_type
            | gimli::DW_TAG_restrict_type => inner(type_of(&entry))?,
            gimli::DW_TAG_array_type => {
                let element = inner(type_of(&entry))?;
                let count = self.count(unit, at)?;
                Shape {
                    size: element.size.saturating_mul(count),
                    count,
                    // An array of arrays is one array.
                    ..element
                }
            }
            gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type => {
                let sort = sort(self.name(unit, &entry)?.as_deref(), self.replaced);
                let fields = match sort {
                    // What is inside is the kernel's.
                    ObjectKind::Other => self.fields(unit, at, shapes, depth + 1)?,
                    _ => Vec::new(),
                };
                Shape {
                    size,
                    count: 0,
                    fields: fields.leak(),
                    sort,
                }
            }
            gimli::DW_TAG_pointer_type => Shape {
                size: if size == 0 { 8 } else { size },
                ..Shape::WORD
            },
            _ => Shape {
                size,
                ..Shape::WORD
            },
        };
        shapes.insert(at.0, shape);
        Ok(shape)
    }

    /// Number of elements of an array, in all its dimensions.
    fn count(&self, unit: &Unit<Slice<'a>>, at: UnitOffset) -> gimli::Result<usize> {
        let mut count = 1_usize;
        let mut tree = unit.entries_tree(Some(at))?;
        let mut children = tree.root()?.children();
        while let Some(child) = children.next()? {
            let entry = child.entry();
            if entry.tag() == gimli::DW_TAG_subrange_type {
                let length = number(entry, gimli::DW_AT_count)
                    .or_else(|| number(entry, gimli::DW_AT_upper_bound)?.checked_add(1));
                count = count.saturating_mul(length.unwrap_or(0));
            }
        }
        Ok(count)
    }

    /// The members of a structure, those of its unnamed members among them.
    fn fields(
        &self,
        unit: &Unit<Slice<'a>>,
        at: UnitOffset,
        shapes: &mut Shapes,
        depth: usize,
    ) -> gimli::Result<Vec<Field>> {
        let mut fields = Vec::new();
        let mut tree = unit.entries_tree(Some(at))?;
        let mut children = tree.root()?.children();
        while let Some(child) = children.next()? {
            let entry = child.entry();
            if entry.tag() != gimli::DW_TAG_member {
                continue;
            }
            let bit = number(entry, gimli::DW_AT_data_bit_offset);
            let offset = match number(entry, gimli::DW_AT_data_member_location) {
                Some(offset) => offset,
                None => bit.unwrap_or(0) / 8,
            };
            let shape = self.shape(unit, type_of(entry), shapes, depth)?;
            let size = match number(entry, gimli::DW_AT_bit_size) {
                Some(bits) => (bit.unwrap_or(0) % 8 + bits).div_ceil(8),
                None => shape.size,
            };
            match self.name(unit, entry)? {
                // What is inside is the kernel's.
                Some(name) if name.ends_with(OPAQUE) => {}
                Some(name) => fields.push(Field {
                    name: name.leak(),
                    offset,
                    size,
                    count: shape.count,
                    fields: shape.fields,
                    sort: shape.sort,
                }),
                None => fields.extend(shape.fields.iter().map(|inner| Field {
                    name: inner.name,
                    offset: inner.offset.saturating_add(offset),
                    size: inner.size,
                    count: inner.count,
                    fields: inner.fields,
                    sort: inner.sort,
                })),
            }
        }
        Ok(fields)
    }
}

fn type_of(entry: &Entry<'_>) -> Option<UnitOffset> {
    match entry.attr_value(gimli::DW_AT_type)? {
        AttributeValue::UnitRef(at) => Some(at),
        _ => None,
    }
}

fn number(entry: &Entry<'_>, name: gimli::DwAt) -> Option<usize> {
    usize::try_from(entry.attr_value(name)?.udata_value()?).ok()
}

/// What sort of object a structure of this name is. Of a callout of the program, nobody tells when its handler runs.
fn sort(name: Option<&str>, replaced: &[String]) -> ObjectKind {
    let own = |primitive: &str| replaced.iter().any(|name| name == primitive);
    match name {
        Some("kmutex" | "krwlock") => ObjectKind::Lock,
        Some("kcondvar") => ObjectKind::Condvar,
        Some("callout") if !own("callout") => ObjectKind::Handler,
        _ => ObjectKind::Other,
    }
}
