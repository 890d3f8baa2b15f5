//! Numbers, truth values, handles and nothing.

use super::{Flat, Image, Lift, Lower, Params, Source, Value};
use wasmtime::{Result, component::Resource};
use wasmtime_environ::component::{ComponentTypes, InterfaceType};

macro_rules! number {
    ($($rust:ident: $flat:ident, $wit:ident;)*) => {$(
        impl Value for $rust {
            const SIZE: usize = size_of::<$rust>();
            const ALIGN: usize = size_of::<$rust>();
            const FLATS: usize = 1;

            fn flatten(into: &mut Vec<Flat>) {
                into.push(Flat::$flat);
            }

            fn is(ty: Option<&InterfaceType>, _: &ComponentTypes) -> bool {
                matches!(ty, Some(InterfaceType::$wit))
            }
        }

        impl Lift for $rust {
            fn lift(from: &mut Params<'_>) -> Result<Self> {
                Ok(from.next()? as $rust)
            }

            fn load(from: &mut Source<'_>, at: usize) -> Result<Self> {
                Ok($rust::from_le_bytes(from.array(at)?))
            }
        }

        impl Lower for $rust {
            fn store(self, into: &mut Image, node: usize, at: usize) {
                into.put(node, at, &self.to_le_bytes());
            }
        }
    )*};
}

number! {
    u8: I32, U8;
    u16: I32, U16;
    u32: I32, U32;
    u64: I64, U64;
}

impl Value for bool {
    const SIZE: usize = 1;
    const ALIGN: usize = 1;
    const FLATS: usize = 1;

    fn flatten(into: &mut Vec<Flat>) {
        into.push(Flat::I32);
    }

    fn is(ty: Option<&InterfaceType>, _: &ComponentTypes) -> bool {
        matches!(ty, Some(InterfaceType::Bool))
    }
}

impl Lower for bool {
    fn store(self, into: &mut Image, node: usize, at: usize) {
        into.put(node, at, &[self.into()]);
    }
}

impl Value for () {
    const SIZE: usize = 0;
    const ALIGN: usize = 1;
    const FLATS: usize = 0;

    fn flatten(_: &mut Vec<Flat>) {}

    fn is(ty: Option<&InterfaceType>, _: &ComponentTypes) -> bool {
        ty.is_none()
    }
}

impl Lift for () {
    fn lift(_: &mut Params<'_>) -> Result<Self> {
        Ok(())
    }

    fn load(_: &mut Source<'_>, _: usize) -> Result<Self> {
        Ok(())
    }
}

impl Lower for () {
    fn store(self, _: &mut Image, _: usize, _: usize) {}
}

/// The handle by which a guest knows a resource is one more than its place in the host's table: none is zero, as guests
/// expect. The table knows what is there, of which type, and what was lent to what; it is the request's own.
impl<T: 'static> Value for Resource<T> {
    const SIZE: usize = 4;
    const ALIGN: usize = 4;
    const FLATS: usize = 1;

    fn flatten(into: &mut Vec<Flat>) {
        into.push(Flat::I32);
    }

    fn is(ty: Option<&InterfaceType>, _: &ComponentTypes) -> bool {
        matches!(ty, Some(InterfaceType::Own(_)))
    }
}

fn place(handle: u32) -> Result<u32> {
    handle.checked_sub(1).ok_or_else(|| wasmtime::format_err!("unknown handle index 0"))
}

impl<T: 'static> Lift for Resource<T> {
    fn lift(from: &mut Params<'_>) -> Result<Self> {
        Ok(Resource::new_own(place(from.next_u32()?)?))
    }

    fn load(from: &mut Source<'_>, at: usize) -> Result<Self> {
        Ok(Resource::new_own(place(u32::load(from, at)?)?))
    }
}

impl<T: 'static> Lower for Resource<T> {
    fn store(self, into: &mut Image, node: usize, at: usize) {
        handle(&self).store(into, node, at);
    }
}

/// A resource that is lent for a call (`borrow`), and stays the guest's.
pub(in super::super) struct Lent<R>(pub(in super::super) R);

impl<T: 'static> Value for Lent<Resource<T>> {
    const SIZE: usize = 4;
    const ALIGN: usize = 4;
    const FLATS: usize = 1;

    fn flatten(into: &mut Vec<Flat>) {
        into.push(Flat::I32);
    }

    fn is(ty: Option<&InterfaceType>, _: &ComponentTypes) -> bool {
        matches!(ty, Some(InterfaceType::Borrow(_)))
    }
}

impl<T: 'static> Lift for Lent<Resource<T>> {
    fn lift(from: &mut Params<'_>) -> Result<Self> {
        Ok(Self(Resource::new_borrow(place(from.next_u32()?)?)))
    }

    fn load(from: &mut Source<'_>, at: usize) -> Result<Self> {
        Ok(Self(Resource::new_borrow(place(u32::load(from, at)?)?)))
    }
}

/// The handle of a resource that a guest is given as a parameter.
pub(in super::super) fn handle<T: 'static>(resource: &Resource<T>) -> u32 {
    // A table has a thousand places at the most.
    resource.rep() + 1
}
