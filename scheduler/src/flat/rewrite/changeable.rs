//! What the code of a module can change in an instance of it.

use wasmparser::{BinaryReaderError, ConstExpr, DataKind, Operator, Parser, Payload, ValType};

/// All that can change.
#[derive(Default)]
pub(super) struct Changeable {
    /// The indices of global variables.
    pub(super) variables: Vec<u32>,
    /// Where its memory is not zero at first: addresses and lengths in bytes.
    pub(super) filled: Vec<(u32, usize)>,
}

/// None where more than memory and variables can change, or where code runs before it is called.
pub(super) fn changeable(module: &[u8]) -> Result<Option<Changeable>, BinaryReaderError> {
    let mut changeable = Changeable::default();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::GlobalSection(section) => {
                for (index, global) in (0..).zip(section) {
                    let ty = global?.ty;
                    let is_number =
                        matches!(ty.content_type, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64);
                    if ty.mutable && !is_number {
                        return Ok(None);
                    }
                    changeable.variables.extend(ty.mutable.then_some(index));
                }
            }
            Payload::DataSection(section) => {
                for data in section {
                    let data = data?;
                    if let DataKind::Active { offset_expr, .. } = data.kind {
                        let Some(at) = constant(&offset_expr)? else { return Ok(None) };
                        changeable.filled.push((at, data.data.len()));
                    }
                }
            }
            Payload::StartSection { .. } | Payload::TagSection(_) => return Ok(None),
            Payload::CodeSectionEntry(body) => {
                for operator in body.get_operators_reader()? {
                    if changes_more(&operator?) {
                        return Ok(None);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(Some(changeable))
}

fn constant(expression: &ConstExpr<'_>) -> Result<Option<u32>, BinaryReaderError> {
    let mut operators = expression.get_operators_reader();
    Ok(match (operators.read()?, operators.read()?) {
        (Operator::I32Const { value }, Operator::End) => Some(value.cast_unsigned()),
        _ => None,
    })
}

fn changes_more(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
            | Operator::ElemDrop { .. }
            | Operator::DataDrop { .. }
    )
}
