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
fn place(handle: u32) -> Result<u32> {
    handle.checked_sub(1).ok_or_else(|| wasmtime::format_err!("unknown handle index 0"))
}

/// The handle of a resource that a guest is given.
pub(in super::super) fn handle<T: 'static>(resource: &Resource<T>) -> u32 {
    // A table has a thousand places at the most.
    resource.rep() + 1
}

/// A resource that is lent for a call (`borrow`), and stays the guest's.
pub(in super::super) struct Lent<R>(pub(in super::super) R);

macro_rules! handle {
    ($of:ty: $wit:ident, $of_place:expr) => {
        impl<T: 'static> Value for $of {
            const SIZE: usize = u32::SIZE;
            const ALIGN: usize = u32::ALIGN;
            const FLATS: usize = u32::FLATS;

            fn flatten(into: &mut Vec<Flat>) {
                u32::flatten(into);
            }

            fn is(ty: Option<&InterfaceType>, _: &ComponentTypes) -> bool {
                matches!(ty, Some(InterfaceType::$wit(_)))
            }
        }

        impl<T: 'static> Lift for $of {
            fn lift(from: &mut Params<'_>) -> Result<Self> {
                u32::lift(from).and_then(place).map($of_place)
            }

            fn load(from: &mut Source<'_>, at: usize) -> Result<Self> {
                u32::load(from, at).and_then(place).map($of_place)
            }
        }
    };
}

handle!(Resource<T>: Own, Resource::new_own);
handle!(Lent<Resource<T>>: Borrow, |place| Lent(Resource::new_borrow(place)));

impl<T: 'static> Lower for Resource<T> {
    fn store(self, into: &mut Image, node: usize, at: usize) {
        handle(&self).store(into, node, at);
    }
}
