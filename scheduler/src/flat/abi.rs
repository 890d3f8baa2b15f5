//! The canonical ABI of the component model, between a guest's memory and Rust values: as much of it as WASI 0.2 needs.
//!
//! Source: <https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md>. Strings are UTF-8, memories
//! have 32 bits, nothing is asynchronous; a component that has it otherwise is not flat.

mod compound;
mod http;
mod scalar;
#[cfg(test)]
mod tests;

pub(super) use scalar::{Lent, handle};

use crate::limits::HOSTCALL_BYTES;
use wasmtime::{Result, ensure};
use wasmtime_environ::component::{ComponentTypes, InterfaceType};

/// The type of a core value that a part of a parameter or a result is passed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flat {
    I32,
    I64,
}

impl Flat {
    /// What can hold either: cases of a variant share their places.
    fn join(self, other: Self) -> Self {
        if self == other { self } else { Self::I64 }
    }
}

/// A type of the component model.
pub(super) trait Value: Sized {
    /// Bytes in memory.
    const SIZE: usize;
    /// What its address is a multiple of.
    const ALIGN: usize;
    /// Core values that it is passed as.
    const FLATS: usize;
    /// Whether it is more than its own bytes: a guest that gets it has to find room for what it points to.
    const POINTS: bool = false;

    fn flatten(into: &mut Vec<Flat>);

    /// Whether a component means the same type; `None` is no value at all.
    fn is(ty: Option<&InterfaceType>, types: &ComponentTypes) -> bool;
}

/// A value that comes from a guest.
pub(super) trait Lift: Value {
    fn lift(from: &mut Params<'_>) -> Result<Self>;
    fn load(from: &mut Source<'_>, at: usize) -> Result<Self>;
}

/// A value that a guest gets.
pub(super) trait Lower: Value {
    /// Writes it to `at`, a place in the `node` of the image.
    fn store(self, into: &mut Image, node: usize, at: usize);
}

/// The least multiple of `align`, a power of two, that is not below `at`.
pub(super) const fn aligned(at: usize, align: usize) -> usize {
    (at + align - 1) & !(align - 1)
}

/// A guest's memory while it is read from. What one call copies out of it is bounded.
pub(super) struct Source<'a> {
    memory: &'a [u8],
    left: usize,
}

/// A call that would copy more than [`HOSTCALL_BYTES`] into the host.
#[derive(Debug, thiserror::Error)]
#[error("a call of the host with over {HOSTCALL_BYTES} bytes")]
pub(crate) struct CallTooLarge;

impl<'a> Source<'a> {
    pub(super) fn new(memory: &'a [u8]) -> Self {
        Self { memory, left: HOSTCALL_BYTES }
    }

    /// Counts what the host will have to hold.
    fn charge(&mut self, bytes: usize) -> Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or(CallTooLarge)?;
        Ok(())
    }

    fn bytes(&self, at: usize, len: usize) -> Result<&'a [u8]> {
        let bytes = at.checked_add(len).and_then(|end| self.memory.get(at..end));
        bytes.ok_or_else(|| wasmtime::format_err!("a pointer that leads out of the memory"))
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N]> {
        Ok(self.bytes(at, N)?.try_into()?)
    }

    /// That there may be `len` elements at `at`.
    fn check_list(&self, at: usize, len: usize, size: usize, align: usize) -> Result<()> {
        ensure!(at.is_multiple_of(align), "a list at an address that is not a multiple of {align}");
        let bytes = len.checked_mul(size).ok_or_else(|| wasmtime::format_err!("a list of too many elements"))?;
        self.bytes(at, bytes).map(drop)
    }
}

/// Core values that are passed as such; more would be passed in memory.
pub(super) const MAX_FLAT_PARAMS: usize = 16;

/// The parameters of a call, and where its result goes, as unsigned bits. What is not used is zero.
pub(super) type Slots = [u64; MAX_FLAT_PARAMS + 1];

/// The core values of a call's parameters, as they are taken from the left to the right.
pub(super) struct Params<'a> {
    values: &'a Slots,
    next: usize,
    pub(super) source: Source<'a>,
}

impl<'a> Params<'a> {
    pub(super) fn new(values: &'a Slots, memory: &'a [u8]) -> Self {
        Self { values, next: 0, source: Source::new(memory) }
    }

    /// The next one, as unsigned bits.
    fn next(&mut self) -> Result<u64> {
        let value = self.values.get(self.next).copied();
        self.next += 1;
        value.ok_or_else(|| wasmtime::format_err!("a call of another signature"))
    }

    fn next_u32(&mut self) -> Result<u32> {
        // A place that is shared with a wider case has the value in its lower half.
        Ok(self.next()? as u32)
    }

    /// An address or a length.
    fn next_usize(&mut self) -> Result<usize> {
        Ok(self.next_u32()? as usize)
    }

    /// Takes a variant, which has so many places whatever its case.
    fn variant<T>(&mut self, places: usize, take: impl FnOnce(u32, &mut Self) -> Result<T>) -> Result<T> {
        let end = self.next + places;
        let case = self.next_u32()?;
        let value = take(case, self);
        self.next = end;
        value
    }
}

/// Bytes of the largest result that there is.
const ROOT_BYTES: usize = 64;

/// A result on its way to the guest: its own bytes, and what they point to, for which the guest has to find room.
pub(super) struct Image {
    root: [u8; ROOT_BYTES],
    pieces: Vec<Piece>,
    /// Where the first of them went that are in the guest's memory.
    placed: Vec<usize>,
}

/// Something that is pointed to.
struct Piece {
    bytes: Vec<u8>,
    align: usize,
    /// Where its address goes: to this place in the root, or in the piece of this number less one.
    holder: (usize, usize),
}

/// The node of an [`Image`] that has the result itself.
pub(super) const ROOT: usize = 0;

impl Image {
    pub(super) fn of<R: Lower>(result: R) -> Self {
        const { assert!(R::SIZE <= ROOT_BYTES) };
        let mut image = Self { root: [0; ROOT_BYTES], pieces: Vec::new(), placed: Vec::new() };
        result.store(&mut image, ROOT, 0);
        image
    }

    fn put(&mut self, node: usize, at: usize, bytes: &[u8]) {
        let into = match node {
            ROOT => &mut self.root[..],
            piece => &mut self.pieces[piece - 1].bytes,
        };
        into[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes pointer and length of `len` elements, and returns the node that the elements are in.
    fn point(&mut self, node: usize, at: usize, bytes: Vec<u8>, align: usize, len: usize) -> usize {
        self.put(node, at + 4, &(len as u32).to_le_bytes());
        self.pieces.push(Piece { bytes, align, holder: (node, at) });
        self.pieces.len()
    }

    /// The value of a result that is passed as one core value.
    pub(super) fn flat<R: Value>(&self) -> u64 {
        let mut bits = [0; 8];
        bits[..R::SIZE].copy_from_slice(&self.root[..R::SIZE]);
        u64::from_le_bytes(bits)
    }

    /// Bytes and alignment of the room that is needed next.
    pub(super) fn wants(&self) -> Option<(usize, usize)> {
        self.pieces.get(self.placed.len()).map(|piece| (piece.bytes.len(), piece.align))
    }

    /// Puts what [wanted room](Self::wants) to `at`.
    pub(super) fn place(&mut self, memory: &mut [u8], at: usize) -> Result<()> {
        let Some(piece) = self.pieces.get_mut(self.placed.len()) else { wasmtime::bail!("nothing is to be placed") };
        write(memory, at, &piece.bytes, piece.align)?;
        piece.bytes = Vec::new();
        let (node, offset) = piece.holder;
        let address = (at as u32).to_le_bytes();
        match node {
            ROOT => self.put(ROOT, offset, &address),
            piece => write(memory, self.placed[piece - 1] + offset, &address, 1)?,
        }
        self.placed.push(at);
        Ok(())
    }

    /// Writes the result itself, once everything that it points to has its place.
    pub(super) fn finish(&self, memory: &mut [u8], at: usize, size: usize, align: usize) -> Result<()> {
        write(memory, at, &self.root[..size], align)
    }
}

fn write(memory: &mut [u8], at: usize, bytes: &[u8], align: usize) -> Result<()> {
    ensure!(at.is_multiple_of(align), "room at an address that is not a multiple of {align}");
    let into = at.checked_add(bytes.len()).and_then(|end| memory.get_mut(at..end));
    into.ok_or_else(|| wasmtime::format_err!("room that is not in the memory"))?.copy_from_slice(bytes);
    Ok(())
}
