//! The functions of the host that a flat component can import: those of `wasmtime-wasi` and `wasmtime-wasi-http`, which
//! every other component gets from them too, with the canonical ABI around them done here.
//!
//! A result that points to something needs room in the guest, which only the guest can give. So such a function has two
//! halves: it keeps its result and says how much room that wants, and the code that was put into the module
//! (`rewrite.rs`) finds it and calls [`PLACE`] until nothing more is wanted.

mod cli;
mod http;
mod io;
mod signatures;

use super::abi::{Flat, Image, Lift, Lower, MAX_FLAT_PARAMS, Params, Slots};
use crate::host::Host;
use futures::future::BoxFuture;
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};
use wasmtime::{AsContextMut, Caller, Engine, Linker, Memory, Result, bail, ensure};
use wasmtime_environ::component::{ComponentTypes, TypeFunc};

/// A function of the host.
pub(super) struct Function {
    pub(super) name: Name,
    pub(super) signature: Signature,
    /// Whether a component means the same function.
    pub(super) is: fn(&TypeFunc, &ComponentTypes) -> bool,
    run: Run,
}

/// What it does with the slots of a call, and what it returns, as unsigned bits.
enum Run {
    Now(Arc<Now>),
    Later(Arc<Later>),
}

type Now = dyn Fn(&mut Caller<'_, Host>, &Slots) -> Result<u64> + Send + Sync;
type Later = dyn for<'a> Fn(Caller<'a, Host>, Slots) -> BoxFuture<'a, Result<u64>> + Send + Sync;

/// As a core function of the component, before its module was rewritten.
pub(super) struct Signature {
    pub(super) params: Vec<Flat>,
    pub(super) result: Option<Flat>,
    /// The rewritten module is told how much room the result wants.
    pub(super) points: bool,
}

/// Name of an interface, and of a function in it.
pub(super) type Name = (&'static str, &'static str);

/// Takes the address of what was asked for, and says what is wanted next, as a function with [`Signature::points`] does: 0
/// for nothing, or the alignment in the upper half and the bytes in the lower.
pub(super) const PLACE: Name = ("wasmway", "place");

/// All that there are.
pub(super) struct Functions(HashMap<&'static str, HashMap<&'static str, Function>>);

pub(super) fn all() -> &'static Functions {
    static ALL: LazyLock<Functions> = LazyLock::new(|| {
        let mut functions = Functions(HashMap::new());
        http::add(&mut functions);
        io::add(&mut functions);
        cli::add(&mut functions);
        functions
    });
    &ALL
}

/// What a request's flat instance is doing.
#[derive(Default)]
pub(crate) struct Calls {
    /// The guest's memory, from when it is there.
    memory: Option<Memory>,
    /// A result on its way to the guest.
    coming: Option<Box<Coming>>,
}

impl Calls {
    pub(super) fn begin(&mut self, memory: Memory) {
        self.memory = Some(memory);
    }
}

struct Coming {
    image: Image,
    at: usize,
    size: usize,
    align: usize,
}

impl Functions {
    pub(super) fn get(&self, interface: &str, name: &str) -> Option<&Function> {
        self.0.get(interface)?.get(name)
    }

    /// Adds one that never waits.
    fn now<P: Parameters, R: Lower>(
        &mut self,
        interface: &'static str,
        name: &'static str,
        run: impl Fn(&mut Host, P) -> Result<R> + Send + Sync + 'static,
    ) {
        self.add::<P, R>((interface, name), |room| {
            Run::Now(Arc::new(move |caller, slots| {
                let params = take::<P>(caller, slots)?;
                let result = run(caller.data_mut(), params)?;
                give(caller, result, slots[room])
            }))
        });
    }

    /// Adds one that may wait.
    fn later<P: Parameters, R: Lower + Send>(
        &mut self,
        interface: &'static str,
        name: &'static str,
        run: impl for<'a> Fn(&'a mut Host, P) -> BoxFuture<'a, Result<R>> + Send + Sync + 'static,
    ) {
        let run = Arc::new(run);
        self.add::<P, R>((interface, name), |room| {
            Run::Later(Arc::new(move |mut caller, slots| {
                let run = run.clone();
                Box::pin(async move {
                    let params = take::<P>(&mut caller, &slots)?;
                    let result = run(caller.data_mut(), params).await?;
                    give(&mut caller, result, slots[room])
                })
            }))
        });
    }

    /// `run` is told which of the slots says where the result goes.
    fn add<P: Parameters, R: Lower>(&mut self, name: Name, run: impl FnOnce(usize) -> Run) {
        let is = |ty: &TypeFunc, types: &ComponentTypes| {
            let results = &types[ty.results].types;
            results.len() <= 1 && R::is(results.first(), types) && P::are(&types[ty.params].types, types)
        };
        let signature = Signature::of::<P, R>();
        let run = run(signature.params.len().saturating_sub(1));
        let before = self.0.entry(name.0).or_default().insert(name.1, Function { name, signature, is, run });
        assert!(before.is_none(), "{name:?} is there twice");
    }

    /// Defines them all for the modules of an engine.
    pub(super) fn link(&self, engine: &Engine) -> Result<Linker<Host>> {
        let mut linker = Linker::new(engine);
        for function in self.0.values().flat_map(HashMap::values) {
            signatures::define(&mut linker, function)?;
        }
        linker.func_wrap(PLACE.0, PLACE.1, |caller: Caller<'_, Host>, at: u32| place(caller, at))?;
        Ok(linker)
    }
}

impl Signature {
    fn of<P: Parameters, R: Lower>() -> Self {
        let (mut params, mut result) = (Vec::new(), Vec::new());
        P::flatten(&mut params);
        assert!(params.len() <= MAX_FLAT_PARAMS, "so many are passed in memory");
        R::flatten(&mut result);
        if R::FLATS > 1 {
            params.push(Flat::I32);
        }
        Self { params, result: result.first().copied().filter(|_| R::FLATS == 1), points: R::POINTS }
    }

    /// What it returns in a rewritten module.
    fn returns(&self) -> Option<Flat> {
        if self.points { Some(Flat::I64) } else { self.result }
    }
}

/// The parameters of a function.
trait Parameters: Sized + Send + 'static {
    fn flatten(into: &mut Vec<Flat>);
    fn are(types: &[wasmtime_environ::component::InterfaceType], all: &ComponentTypes) -> bool;
    fn lift(from: &mut Params<'_>) -> Result<Self>;
}

macro_rules! parameters {
    ($($of:ident)*) => {
        impl<$($of: Lift + Send + 'static),*> Parameters for ($($of,)*) {
            fn flatten(_into: &mut Vec<Flat>) {
                $($of::flatten(_into);)*
            }

            fn are(types: &[wasmtime_environ::component::InterfaceType], _all: &ComponentTypes) -> bool {
                let mut types = types.iter();
                $($of::is(types.next(), _all) &&)* types.next().is_none()
            }

            fn lift(_from: &mut Params<'_>) -> Result<Self> {
                Ok(($($of::lift(_from)?,)*))
            }
        }
    };
}

parameters!();
parameters!(A);
parameters!(A B);
parameters!(A B C);

/// Reads a call's parameters.
fn take<P: Parameters>(caller: &mut Caller<'_, Host>, slots: &Slots) -> Result<P> {
    let calls = caller.data_mut().calls();
    // While it finds room for a result, a guest may not call out: the component model's rule.
    ensure!(calls.coming.is_none(), "cannot leave component instance");
    let memory: &[u8] = match calls.memory {
        Some(memory) => memory.data(&*caller),
        None => &[],
    };
    P::lift(&mut Params::new(slots, memory))
}

/// Hands a call's result over: returns it, or writes it to `at`, or says how much room it wants.
fn give<R: Lower>(caller: &mut Caller<'_, Host>, result: R, at: u64) -> Result<u64> {
    if R::FLATS == 0 {
        return Ok(0);
    }
    let image = Image::of(result);
    if R::FLATS == 1 {
        return Ok(image.flat::<R>());
    }
    let mut coming = Coming { image, at: at as usize, size: R::SIZE, align: R::ALIGN };
    let wanted = go_on(caller, |memory| coming.advance(memory))?;
    if wanted != 0 {
        caller.data_mut().calls().coming = Some(Box::new(coming));
    }
    Ok(wanted)
}

/// The guest has found room.
fn place(mut caller: Caller<'_, Host>, at: u32) -> Result<u64> {
    let Some(mut coming) = caller.data_mut().calls().coming.take() else { bail!("nothing is to be placed") };
    let wanted = go_on(&mut caller, |memory| {
        coming.image.place(memory, at as usize)?;
        coming.advance(memory)
    })?;
    if wanted != 0 {
        caller.data_mut().calls().coming = Some(coming);
    }
    Ok(wanted)
}

fn go_on(caller: &mut Caller<'_, Host>, write: impl FnOnce(&mut [u8]) -> Result<u64>) -> Result<u64> {
    let memory = caller.data_mut().calls().memory;
    let Some(memory) = memory else { bail!("a call before the memory is there") };
    write(memory.data_mut(caller.as_context_mut()))
}

impl Coming {
    /// Says what room is wanted; finishes when none is.
    fn advance(&mut self, memory: &mut [u8]) -> Result<u64> {
        match self.image.wants() {
            Some((bytes, align)) => Ok((align as u64) << 32 | u64::from(u32::try_from(bytes)?)),
            None => self.image.finish(memory, self.at, self.size, self.align).map(|()| 0),
        }
    }
}
