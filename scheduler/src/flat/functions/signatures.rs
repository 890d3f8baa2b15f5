//! The core signatures of the host's functions. A function that is defined with its signature as Rust types is called
//! several times as fast as one that looks at it when it is called.

use super::{Function, Run};
use crate::{
    flat::abi::{Flat, MAX_FLAT_PARAMS, Slots},
    host::Host,
};
use wasmtime::{Caller, Linker, Result, bail};

/// A core type, or none.
trait Core {
    const FLAT: Option<Flat>;
    fn bits(self) -> u64;
    fn of_bits(bits: u64) -> Self;
}

impl Core for u32 {
    const FLAT: Option<Flat> = Some(Flat::I32);

    fn bits(self) -> u64 {
        self.into()
    }

    fn of_bits(bits: u64) -> Self {
        bits as u32
    }
}

impl Core for u64 {
    const FLAT: Option<Flat> = Some(Flat::I64);

    fn bits(self) -> u64 {
        self
    }

    fn of_bits(bits: u64) -> Self {
        bits
    }
}

impl Core for () {
    const FLAT: Option<Flat> = None;

    fn bits(self) -> u64 {
        0
    }

    fn of_bits(_: u64) -> Self {}
}

fn slots<const N: usize>(values: [u64; N]) -> Slots {
    let mut slots = [0; MAX_FLAT_PARAMS + 1];
    slots[..N].copy_from_slice(&values);
    slots
}

macro_rules! signatures {
    ($linker:ident, $function:ident; $(fn($($param:ident: $of:ident),*) -> $result:ty;)*) => {{
        let Function { name: (interface, name), signature, run, .. } = $function;
        let params = signature.params.iter().copied().map(Some).collect::<Vec<_>>();
        $({
            type Returned = $result;
            let these: &[Option<Flat>] = &[$($of::FLAT),*];
            if params == these && signature.returns() == Returned::FLAT {
                match run {
                    Run::Now(run) => {
                        let run = run.clone();
                        let call = move |mut caller: Caller<'_, Host>, $($param: $of),*| -> Result<Returned> {
                            run(&mut caller, &slots([$($param.bits()),*])).map(Returned::of_bits)
                        };
                        $linker.func_wrap(interface, name, call)?;
                    }
                    Run::Later(run) => {
                        let run = run.clone();
                        $linker.func_wrap_async(interface, name, move |caller, ($($param,)*): ($($of,)*)| {
                            let run = run(caller, slots([$($param.bits()),*]));
                            Box::new(async move { run.await.map(Returned::of_bits) })
                        })?;
                    }
                }
                return Ok(());
            }
        })*
        bail!("{}.{}: no function has had this signature: {params:?}", interface, name)
    }};
}

/// Defines a function.
pub(super) fn define(linker: &mut Linker<Host>, function: &Function) -> Result<()> {
    signatures! { linker, function;
        fn() -> ();
        fn() -> u32;
        fn() -> u64;
        fn(a: u32) -> ();
        fn(a: u32) -> u32;
        fn(a: u32) -> u64;
        fn(a: u64) -> u32;
        fn(a: u64) -> u64;
        fn(a: u32, b: u32) -> ();
        fn(a: u32, b: u32) -> u32;
        fn(a: u32, b: u32) -> u64;
        fn(a: u64, b: u32) -> u64;
        fn(a: u32, b: u32, c: u32) -> ();
        fn(a: u32, b: u32, c: u32) -> u32;
        fn(a: u32, b: u32, c: u32) -> u64;
        fn(a: u32, b: u32, c: u64) -> u32;
        fn(a: u32, b: u64, c: u32) -> ();
        fn(a: u32, b: u64, c: u32) -> u64;
        fn(a: u32, b: u32, c: u32, d: u32) -> ();
        fn(a: u32, b: u32, c: u32, d: u32) -> u32;
        fn(a: u32, b: u32, c: u32, d: u32) -> u64;
        fn(a: u32, b: u32, c: u64, d: u32) -> ();
        fn(a: u32, b: u32, c: u32, d: u32, e: u32) -> ();
        fn(a: u32, b: u32, c: u32, d: u32, e: u32) -> u32;
        fn(a: u32, b: u32, c: u32, d: u32, e: u32, f: u32) -> ();
        fn(a: u32, b: u32, c: u32, d: u32, e: u64, f: u32, g: u32, h: u32, i: u32) -> ();
    }
}
