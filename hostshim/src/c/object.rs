//! The linker: object files of the compiler become a [`Module`].
//!
//! This is what kobj(9) does: it lays out the sections, resolves names, and checks every relocation. What it does not
//! know is refused in words. An object file is not trusted: offsets and sizes in it are checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use object::elf::{
    R_X86_64_32, R_X86_64_64, R_X86_64_NONE, R_X86_64_PC32, R_X86_64_PC64, R_X86_64_PLT32,
    SHF_ALLOC, SHF_EXECINSTR, SHF_TLS, SHF_WRITE, SHT_NOBITS, SHT_NOTE, SHT_PROGBITS,
    SHT_X86_64_UNWIND,
};
use object::{
    Architecture, BinaryFormat, Object, ObjectKind, ObjectSection, ObjectSymbol, RelocationFlags,
    RelocationTarget, SectionFlags, SymbolKind, SymbolSection,
};

use super::assembly::Unwatched;
use super::debug::{self, Debug};
use super::{names, replace};
use crate::machine::module::{
    Area, DATA_ALIGN, Fixup, Form, Functions, Lines, Module, PAGE, Place, Structures, Target,
};

/// Greatest size of the code, and of the variables, of a module.
const MOST: usize = 8 << 20;

/// An object file: what it is called in messages, and its bytes.
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) unwatched: Unwatched,
}

/// What came of linking.
pub(crate) struct Linked {
    pub(crate) module: Module,
    /// Where the functions and variables are that other files can see.
    pub(crate) symbols: BTreeMap<String, Place>,
}

/// Links the files.
///
/// # Errors
///
/// A sentence for each thing that is wrong, and what to do.
pub(crate) fn link(inputs: &[Input], replace: &[String]) -> Result<Linked, String> {
    let mut linker = Linker::default();
    for input in inputs {
        linker
            .add(input)
            .map_err(|wrong| format!("{}: {wrong}", input.name))?;
    }
    let defined = linker.defined.keys().map(String::as_str);
    let wanted = linker.wanted.keys().map(String::as_str);
    replace::check(replace, defined, wanted)?;
    linker.finish(replace)
}

/// A section that is loaded.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Constants,
    Data,
}

/// Where the sections of one file begin.
type Layout = BTreeMap<usize, Place>;

/// Code of all files, then constants of all files, then variables: each grows as files are added.
#[derive(Default)]
struct Linker {
    text: Vec<u8>,
    constants: Vec<u8>,
    data: Vec<u8>,
    /// With places of constants counted from the first of them, in the area [`Area::Code`], until the code is complete.
    pieces: Vec<Piece>,
    defined: BTreeMap<String, (Spot, String)>,
    wanted: BTreeMap<String, BTreeSet<String>>,
}

/// A place before the size of the code is known.
#[derive(Clone, Copy)]
enum Spot {
    Text(usize),
    Constants(usize),
    Data(usize),
}

#[derive(Clone)]
enum Aim {
    Spot(Spot),
    Name(String),
    /// A weak name that nobody defines.
    Nothing,
}

/// A relocation before the size of the code is known.
struct Loose {
    at: Spot,
    form: Form,
    aim: Aim,
    addend: i64,
}

/// A file.
struct Piece {
    name: String,
    loose: Vec<Loose>,
    sections: BTreeMap<usize, Spot>,
    bytes: Vec<u8>,
}

impl Linker {
    fn add(&mut self, input: &Input) -> Result<(), String> {
        let file = parse(&input.bytes)?;
        let sections = self.lay_out(&file)?;
        let mut own = BTreeMap::new();
        for symbol in file.symbols() {
            self.define(&symbol, &sections, &input.name, &mut own)?;
        }
        let mut loose = Vec::new();
        for section in file.sections() {
            let Some(&spot) = sections.get(&section.index().0) else {
                continue;
            };
            for (offset, relocation) in section.relocations() {
                let RelocationFlags::Elf { r_type } = relocation.flags() else {
                    return Err("a relocation that is not ELF's".to_owned());
                };
                let Some(form) = form(r_type, section.name().unwrap_or("?"))? else {
                    continue;
                };
                let aim = aim(&file, relocation.target(), &sections, &own)?;
                if let Aim::Name(name) = &aim {
                    self.wanted
                        .entry(name.clone())
                        .or_default()
                        .insert(input.name.clone());
                }
                let inside = offset
                    .checked_add(form.size() as u64)
                    .is_some_and(|end| end <= section.size());
                if !inside {
                    return Err(
                        "a relocation outside of its section: the file is damaged".to_owned()
                    );
                }
                loose.push(Loose {
                    at: spot.after(offset as usize),
                    form,
                    aim,
                    addend: relocation.addend(),
                });
            }
        }
        // With hooks, a file has a function that calls `__tsan_init`, even if nothing is to be announced in it.
        let mut names = file.symbols().filter_map(|symbol| symbol.name().ok());
        if has_functions(&file) && !names.any(|name| name.starts_with("__tsan_")) {
            return Err(
                "it was compiled without hooks, so none of its accesses could be seen\n  help: compile it with -fsanitize=thread, as \
                 `rumplab c FILE.c` does"
                    .to_owned(),
            );
        }
        self.pieces.push(Piece {
            name: input.name.clone(),
            loose,
            sections,
            bytes: input.bytes.clone(),
        });
        Ok(())
    }

    /// Appends the sections that are loaded.
    fn lay_out(&mut self, file: &object::File<'_>) -> Result<BTreeMap<usize, Spot>, String> {
        let mut spots = BTreeMap::new();
        for section in file.sections() {
            let name = section.name().unwrap_or("?").to_owned();
            let Some(kind) = kind(&section, &name)? else {
                continue;
            };
            let bytes = section
                .data()
                .map_err(|error| format!("section {name}: {error}"))?;
            let size = usize::try_from(section.size()).unwrap_or(usize::MAX);
            let align = section.align().max(1) as usize;
            if size > MOST {
                return Err(format!(
                    "section {name} has {size} bytes\n  help: a module has at most {MOST} bytes of code and as many of variables"
                ));
            }
            if !align.is_power_of_two() || align > DATA_ALIGN {
                return Err(format!(
                    "section {name} is aligned to {align} bytes\n  help: at most {DATA_ALIGN} are supported"
                ));
            }
            let into = match kind {
                Kind::Text => &mut self.text,
                Kind::Constants => &mut self.constants,
                Kind::Data => &mut self.data,
            };
            let begin = into.len().next_multiple_of(align);
            if begin + size > MOST {
                return Err(format!(
                    "all files together are too large\n  help: a module has at most {MOST} bytes of code and as many of variables"
                ));
            }
            into.resize(begin, 0);
            // A section without bytes is zeroed memory.
            into.extend_from_slice(&bytes[..bytes.len().min(size)]);
            into.resize(begin + size, 0);
            let spot = match kind {
                Kind::Text => Spot::Text(begin),
                Kind::Constants => Spot::Constants(begin),
                Kind::Data => Spot::Data(begin),
            };
            spots.insert(section.index().0, spot);
        }
        Ok(spots)
    }

    /// Notes what a symbol stands for, for this file and, if it is global, for the others.
    fn define<'data>(
        &mut self,
        symbol: &impl ObjectSymbol<'data>,
        sections: &BTreeMap<usize, Spot>,
        file: &str,
        own: &mut BTreeMap<usize, Aim>,
    ) -> Result<(), String> {
        let Ok(name) = symbol.name() else {
            return Err("a name that is not text: the file is damaged".to_owned());
        };
        let aim = match symbol.section() {
            SymbolSection::Section(index) => match sections.get(&index.0) {
                Some(spot) => Aim::Spot(spot.after(symbol.address() as usize)),
                // In a section that is not loaded, as debugging information.
                None => return Ok(()),
            },
            SymbolSection::Undefined if name.is_empty() => return Ok(()),
            SymbolSection::Undefined if symbol.is_weak() && !names::offers(name) => Aim::Nothing,
            SymbolSection::Undefined => Aim::Name(name.to_owned()),
            SymbolSection::Common => {
                return Err(format!(
                    "`{name}` is a common variable\n  help: compile it with -fno-common, as `rumplab c` does"
                ));
            }
            _ => return Ok(()),
        };
        if let Aim::Spot(spot) = &aim
            && symbol.is_global()
        {
            let entry = (*spot, file.to_owned());
            if let Some((_, other)) = self.defined.insert(name.to_owned(), entry)
                && !symbol.is_weak()
            {
                return Err(format!(
                    "`{name}` is defined here and in {other}\n  help: make one of them static, or leave one of the files out"
                ));
            }
        }
        own.insert(symbol.index().0, aim);
        Ok(())
    }

    fn finish(mut self, replace: &[String]) -> Result<Linked, String> {
        self.check_names()?;
        let executable = self.text.len().next_multiple_of(PAGE);
        let place = |spot: Spot| spot.place(executable);
        let mut fixups = Vec::new();
        let (mut rows, mut files, mut globals) = (Vec::new(), Vec::new(), Vec::new());
        let mut types = BTreeMap::new();
        let mut structures = Structures::default();
        let (mut functions, mut named) = (Vec::new(), Vec::new());
        let data_size = self.data.len();
        for piece in &self.pieces {
            for loose in &piece.loose {
                let target = match &loose.aim {
                    Aim::Spot(spot) => Target::Inside(place(*spot)),
                    Aim::Nothing => Target::Host(0),
                    Aim::Name(name) => match self.defined.get(name) {
                        Some((spot, _)) => Target::Inside(place(*spot)),
                        None => Target::Host(names::lookup(name).unwrap_or(0)),
                    },
                };
                let fixup = Fixup {
                    at: place(loose.at),
                    form: loose.form,
                    target,
                    addend: loose.addend,
                };
                check(&fixup).map_err(|wrong| format!("{}: {wrong}", piece.name))?;
                fixups.push(fixup);
            }
            let layout: Layout = piece
                .sections
                .iter()
                .map(|(index, spot)| (*index, place(*spot)))
                .collect();
            let read = parse(&piece.bytes)
                .and_then(|file| debug::read(&file, &layout, data_size, replace));
            let Debug {
                rows: more,
                files: names,
                globals: variables,
                types: more_types,
                structures: more_structures,
                functions: more_functions,
                named: more_named,
            } = read.map_err(|wrong| format!("{}: {wrong}", piece.name))?;
            let first = files.len();
            files.extend(names);
            rows.extend(more.into_iter().map(|mut row| {
                row.file += first;
                row
            }));
            globals.extend(variables);
            types.extend(more_types);
            structures.append(more_structures);
            functions.extend(more_functions);
            named.extend(more_named);
        }
        let symbols = self
            .defined
            .iter()
            .map(|(name, (spot, _))| (name.clone(), place(*spot)))
            .collect();
        let mut code = std::mem::take(&mut self.text);
        code.resize(executable, 0);
        code.append(&mut self.constants);
        Ok(Linked {
            module: Module {
                code,
                executable,
                data: self.data,
                fixups,
                globals,
                types,
                structures,
                named,
                lines: Lines::new(rows, files),
                functions: Functions::new(functions),
                marks: None,
            },
            symbols,
        })
    }

    /// Checks that every name is known. All that are not are told of together.
    fn check_names(&self) -> Result<(), String> {
        let unknown =
            |name: &&String| !self.defined.contains_key(*name) && names::lookup(name).is_none();
        let missing = Vec::from_iter(self.wanted.keys().filter(unknown));
        if missing.is_empty() {
            return Ok(());
        }
        let mut text = match missing.len() {
            1 => "a name is used that nothing defines:".to_owned(),
            many => format!("{many} names are used that nothing defines:"),
        };
        for name in missing {
            let users = &self.wanted[name];
            let users = Vec::from_iter(users.iter().map(String::as_str)).join(", ");
            let near = names::nearest(name)
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = write!(text, "\n  {name} (in {users}){near}");
        }
        text.push_str(
            "\n  help: add the file that defines it to the command, or define it in the scenario",
        );
        Err(text)
    }
}

impl Spot {
    fn after(self, bytes: usize) -> Spot {
        match self {
            Spot::Text(at) => Spot::Text(at.saturating_add(bytes)),
            Spot::Constants(at) => Spot::Constants(at.saturating_add(bytes)),
            Spot::Data(at) => Spot::Data(at.saturating_add(bytes)),
        }
    }

    fn place(self, executable: usize) -> Place {
        let (area, offset) = match self {
            Spot::Text(at) => (Area::Code, at),
            Spot::Constants(at) => (Area::Code, executable.saturating_add(at)),
            Spot::Data(at) => (Area::Data, at),
        };
        Place { area, offset }
    }
}

fn parse(bytes: &[u8]) -> Result<object::File<'_>, String> {
    let file = object::File::parse(bytes).map_err(|error| {
        format!("it is no object file that can be read: {error}\n  help: give C files")
    })?;
    let fits = file.format() == BinaryFormat::Elf
        && file.architecture() == Architecture::X86_64
        && file.is_64()
        && file.is_little_endian()
        && file.kind() == ObjectKind::Relocatable;
    match fits {
        true => Ok(file),
        false => Err(
            "it is no relocatable object file for x86-64\n  help: compile for x86-64, with -c"
                .to_owned(),
        ),
    }
}

fn has_functions(file: &object::File<'_>) -> bool {
    let is_function = |symbol: &object::Symbol<'_, '_>| {
        symbol.kind() == SymbolKind::Text && symbol.is_definition() && symbol.size() > 0
    };
    file.symbols().any(|symbol| is_function(&symbol))
}

/// What the compiler adds for the hooks, and nobody calls.
fn is_of_compiler(section: &str) -> bool {
    section.contains("tsan.module_ctor") || section == ".text.startup"
}

/// How a section is loaded, if it is.
fn kind<'data>(section: &impl ObjectSection<'data>, name: &str) -> Result<Option<Kind>, String> {
    let SectionFlags::Elf { sh_type, sh_flags } = section.flags() else {
        return Ok(None);
    };
    let has = |flag: object::elf::SectionFlags| sh_flags.0 & flag.0 != 0;
    if !has(SHF_ALLOC) {
        return Ok(None);
    }
    if has(SHF_TLS) {
        return Err(format!(
            "section {name} has variables of a thread\n  help: a kernel has none: leave out _Thread_local"
        ));
    }
    // Constructors: the compiler's own call `__tsan_init`.
    if name == ".init_array" || name.starts_with(".ctors") || name.starts_with(".fini_array") {
        return Err(format!(
            "section {name} has functions that run before main\n  help: call them from rumplab_setup"
        ));
    }
    if name.starts_with(".init_array.") || is_of_compiler(name) {
        return Ok(None);
    }
    match sh_type {
        SHT_NOTE | SHT_X86_64_UNWIND => Ok(None),
        _ if name == ".eh_frame" => Ok(None),
        SHT_PROGBITS | SHT_NOBITS => Ok(Some(match (has(SHF_EXECINSTR), has(SHF_WRITE)) {
            (true, _) => Kind::Text,
            (false, true) => Kind::Data,
            (false, false) => Kind::Constants,
        })),
        other => Err(format!(
            "section {name} is of a type that the loader does not know ({other:#x})\n  help: find what in the source makes it, and \
             leave that out"
        )),
    }
}

/// How a relocation of this type is made; none if it does nothing.
fn form(r_type: object::elf::RelocationType, section: &str) -> Result<Option<Form>, String> {
    match r_type {
        R_X86_64_NONE => Ok(None),
        R_X86_64_64 => Ok(Some(Form::Absolute)),
        R_X86_64_PC64 => Ok(Some(Form::Relative)),
        R_X86_64_PC32 | R_X86_64_PLT32 => Ok(Some(Form::Short)),
        other => Err(format!(
            "section {section} has a relocation of type {other}{}, which the loader does not know\n  help: compile with -mcmodel=large -fno-pic, \
             as `rumplab c` does",
            if other == R_X86_64_32 {
                " (R_X86_64_32)"
            } else {
                ""
            }
        )),
    }
}

/// What a relocation refers to.
fn aim(
    file: &object::File<'_>,
    target: RelocationTarget,
    sections: &BTreeMap<usize, Spot>,
    own: &BTreeMap<usize, Aim>,
) -> Result<Aim, String> {
    let lost = || "a relocation refers to nothing that is loaded: the file is damaged".to_owned();
    match target {
        RelocationTarget::Symbol(index) => {
            let known = own.get(&index.0).cloned();
            known
                .or_else(|| {
                    let symbol = file.symbol_by_index(index).ok()?;
                    let spot = sections.get(&symbol.section_index()?.0)?;
                    Some(Aim::Spot(spot.after(symbol.address() as usize)))
                })
                .ok_or_else(lost)
        }
        RelocationTarget::Section(index) => match sections.get(&index.0) {
            Some(spot) => Ok(Aim::Spot(*spot)),
            None => Err(lost()),
        },
        _ => Err(lost()),
    }
}

/// Checks that a relocation can be made wherever the module is loaded.
fn check(fixup: &Fixup) -> Result<(), String> {
    if fixup.form != Form::Short {
        return Ok(());
    }
    let Target::Inside(target) = fixup.target else {
        return Err(TOO_FAR.to_owned());
    };
    let distance = (target.offset as i64)
        .checked_sub(fixup.at.offset as i64)
        .and_then(|distance| distance.checked_add(fixup.addend));
    let fits = distance.is_some_and(|distance| i32::try_from(distance).is_ok());
    match fits && target.area == Area::Code && fixup.at.area == Area::Code {
        true => Ok(()),
        false => Err(TOO_FAR.to_owned()),
    }
}

const TOO_FAR: &str = "a relocation of 4 bytes refers to what may be further away\n  help: compile with -mcmodel=large -fno-pic, as `rumplab c` does";
