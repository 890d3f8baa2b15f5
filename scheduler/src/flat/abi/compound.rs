//! Lists, strings, options, results, tuples.

use super::{Flat, Image, Lent, Lift, Lower, Params, Source, Value, aligned};
use wasmtime::{Result, bail, component::Resource};
use wasmtime_environ::component::{ComponentTypes, InterfaceType};
use wasmtime_wasi::p2::DynPollable;

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// Bytes that are UTF-8.
impl Value for String {
    const SIZE: usize = Vec::<u8>::SIZE;
    const ALIGN: usize = Vec::<u8>::ALIGN;
    const FLATS: usize = Vec::<u8>::FLATS;
    const POINTS: bool = Vec::<u8>::POINTS;

    fn flatten(into: &mut Vec<Flat>) {
        Vec::<u8>::flatten(into);
    }

    fn is(ty: Option<&InterfaceType>, _: &ComponentTypes) -> bool {
        matches!(ty, Some(InterfaceType::String))
    }
}

impl Lift for String {
    fn lift(from: &mut Params<'_>) -> Result<Self> {
        Ok(String::from_utf8(Vec::lift(from)?)?)
    }

    fn load(from: &mut Source<'_>, at: usize) -> Result<Self> {
        Ok(String::from_utf8(Vec::load(from, at)?)?)
    }
}

impl Lower for String {
    fn store(self, into: &mut Image, node: usize, at: usize) {
        self.into_bytes().store(into, node, at);
    }
}

impl<T: Value> Value for Vec<T> {
    const SIZE: usize = 8;
    const ALIGN: usize = 4;
    const FLATS: usize = 2;
    const POINTS: bool = true;

    fn flatten(into: &mut Vec<Flat>) {
        into.extend([Flat::I32; 2]);
    }

    fn is(ty: Option<&InterfaceType>, types: &ComponentTypes) -> bool {
        matches!(ty, Some(InterfaceType::List(list)) if T::is(Some(&types[*list].element), types))
    }
}

/// Elements of a list: bytes, which are many, are copied at once.
trait LiftElement: Value {
    fn elements(from: &mut Source<'_>, at: usize, len: usize) -> Result<Vec<Self>>;
}

/// The same, on the way to the guest.
trait LowerElement: Value {
    fn store_all(elements: Vec<Self>, into: &mut Image, node: usize, at: usize);
}

impl LiftElement for u8 {
    fn elements(from: &mut Source<'_>, at: usize, len: usize) -> Result<Vec<Self>> {
        let bytes = from.bytes(at, len)?;
        from.charge(len)?;
        Ok(bytes.to_vec())
    }
}

impl LowerElement for u8 {
    fn store_all(elements: Vec<Self>, into: &mut Image, node: usize, at: usize) {
        let len = elements.len();
        into.point(node, at, elements, 1, len);
    }
}

macro_rules! lift_elements {
    ($($of:ty;)*) => {$(
        impl LiftElement for $of {
            fn elements(from: &mut Source<'_>, at: usize, len: usize) -> Result<Vec<Self>> {
                from.check_list(at, len, Self::SIZE, Self::ALIGN)?;
                from.charge(len.saturating_mul(size_of::<Self>()))?;
                (0..len).map(|index| Self::load(from, at + index * Self::SIZE)).collect()
            }
        }
    )*};
}

lift_elements! {
    Vec<u8>;
    (String, Vec<u8>);
    Lent<Resource<DynPollable>>;
}

macro_rules! lower_elements {
    ($($of:ty;)*) => {$(
        impl LowerElement for $of {
            fn store_all(elements: Vec<Self>, into: &mut Image, node: usize, at: usize) {
                let bytes = vec![0; elements.len() * Self::SIZE];
                let list = into.point(node, at, bytes, Self::ALIGN, elements.len());
                for (index, element) in elements.into_iter().enumerate() {
                    element.store(into, list, index * Self::SIZE);
                }
            }
        }
    )*};
}

lower_elements! {
    u32;
    String;
    Vec<u8>;
    (String, String);
    (String, Vec<u8>);
}

impl<T: LiftElement> Lift for Vec<T> {
    fn lift(from: &mut Params<'_>) -> Result<Self> {
        let (at, len) = (from.next_usize()?, from.next_usize()?);
        T::elements(&mut from.source, at, len)
    }

    fn load(from: &mut Source<'_>, at: usize) -> Result<Self> {
        let (pointer, len) = (u32::load(from, at)?, u32::load(from, at + 4)?);
        T::elements(from, pointer as usize, len as usize)
    }
}

impl<T: LowerElement> Lower for Vec<T> {
    fn store(self, into: &mut Image, node: usize, at: usize) {
        T::store_all(self, into, node, at);
    }
}

impl<T: Value> Value for Option<T> {
    const SIZE: usize = aligned(aligned(1, T::ALIGN) + T::SIZE, T::ALIGN);
    const ALIGN: usize = T::ALIGN;
    const FLATS: usize = 1 + T::FLATS;
    const POINTS: bool = T::POINTS;

    fn flatten(into: &mut Vec<Flat>) {
        into.push(Flat::I32);
        T::flatten(into);
    }

    fn is(ty: Option<&InterfaceType>, types: &ComponentTypes) -> bool {
        matches!(ty, Some(InterfaceType::Option(option)) if T::is(Some(&types[*option].ty), types))
    }
}

impl<T: Lift> Lift for Option<T> {
    fn lift(from: &mut Params<'_>) -> Result<Self> {
        from.variant(Self::FLATS, |case, from| match case {
            0 => Ok(None),
            1 => T::lift(from).map(Some),
            _ => bail!("an option of neither case"),
        })
    }

    fn load(from: &mut Source<'_>, at: usize) -> Result<Self> {
        match u8::load(from, at)? {
            0 => Ok(None),
            1 => T::load(from, at + aligned(1, T::ALIGN)).map(Some),
            _ => bail!("an option of neither case"),
        }
    }
}

impl<T: Lower> Lower for Option<T> {
    fn store(self, into: &mut Image, node: usize, at: usize) {
        u8::from(self.is_some()).store(into, node, at);
        if let Some(value) = self {
            value.store(into, node, at + aligned(1, T::ALIGN));
        }
    }
}

impl<T: Value, E: Value> Value for Result<T, E> {
    const SIZE: usize = aligned(aligned(1, Self::ALIGN) + max(T::SIZE, E::SIZE), Self::ALIGN);
    const ALIGN: usize = max(T::ALIGN, E::ALIGN);
    const FLATS: usize = 1 + max(T::FLATS, E::FLATS);
    const POINTS: bool = T::POINTS || E::POINTS;

    fn flatten(into: &mut Vec<Flat>) {
        into.push(Flat::I32);
        let payload = into.len();
        overlay::<T>(into, payload);
        overlay::<E>(into, payload);
    }

    fn is(ty: Option<&InterfaceType>, types: &ComponentTypes) -> bool {
        let Some(InterfaceType::Result(result)) = ty else { return false };
        let result = &types[*result];
        T::is(result.ok.as_ref(), types) && E::is(result.err.as_ref(), types)
    }
}

/// Lays the places of a case over those of the cases before it, from `payload` on.
pub(super) fn overlay<T: Value>(into: &mut Vec<Flat>, payload: usize) {
    let mut case = Vec::new();
    T::flatten(&mut case);
    for (index, flat) in case.into_iter().enumerate() {
        match into.get_mut(payload + index) {
            Some(place) => *place = place.join(flat),
            None => into.push(flat),
        }
    }
}

impl<T: Lift, E: Lift> Lift for Result<T, E> {
    fn lift(from: &mut Params<'_>) -> wasmtime::Result<Self> {
        from.variant(Self::FLATS, |case, from| match case {
            0 => T::lift(from).map(Ok),
            1 => E::lift(from).map(Err),
            _ => bail!("a result of neither case"),
        })
    }

    fn load(from: &mut Source<'_>, at: usize) -> wasmtime::Result<Self> {
        let payload = at + aligned(1, Self::ALIGN);
        match u8::load(from, at)? {
            0 => T::load(from, payload).map(Ok),
            1 => E::load(from, payload).map(Err),
            _ => bail!("a result of neither case"),
        }
    }
}

impl<T: Lower, E: Lower> Lower for Result<T, E> {
    fn store(self, into: &mut Image, node: usize, at: usize) {
        u8::from(self.is_err()).store(into, node, at);
        let payload = at + aligned(1, Self::ALIGN);
        match self {
            Ok(value) => value.store(into, node, payload),
            Err(error) => error.store(into, node, payload),
        }
    }
}

impl<A: Value, B: Value> Value for (A, B) {
    const SIZE: usize = aligned(aligned(A::SIZE, B::ALIGN) + B::SIZE, Self::ALIGN);
    const ALIGN: usize = max(A::ALIGN, B::ALIGN);
    const FLATS: usize = A::FLATS + B::FLATS;
    const POINTS: bool = A::POINTS || B::POINTS;

    fn flatten(into: &mut Vec<Flat>) {
        A::flatten(into);
        B::flatten(into);
    }

    fn is(ty: Option<&InterfaceType>, types: &ComponentTypes) -> bool {
        let of = match ty {
            Some(InterfaceType::Tuple(tuple)) => types[*tuple].types.iter().collect::<Vec<_>>(),
            Some(InterfaceType::Record(record)) => types[*record].fields.iter().map(|field| &field.ty).collect(),
            _ => return false,
        };
        matches!(of[..], [a, b] if A::is(Some(a), types) && B::is(Some(b), types))
    }
}

impl<A: Lift, B: Lift> Lift for (A, B) {
    fn lift(from: &mut Params<'_>) -> Result<Self> {
        Ok((A::lift(from)?, B::lift(from)?))
    }

    fn load(from: &mut Source<'_>, at: usize) -> Result<Self> {
        Ok((A::load(from, at)?, B::load(from, at + aligned(A::SIZE, B::ALIGN))?))
    }
}

impl<A: Lower, B: Lower> Lower for (A, B) {
    fn store(self, into: &mut Image, node: usize, at: usize) {
        self.0.store(into, node, at);
        self.1.store(into, node, at + aligned(A::SIZE, B::ALIGN));
    }
}
