//! Functions of doubles with PostgreSQL's rounding and errors: DataFusion's round half away from zero
//! and answer NaN or infinity where a function has no value.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, Float32Array, Float64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::cast::{float_overflow, float_underflow};
use super::columns::{any_null, evaluate};
use super::fault;
use crate::error::SqlState;

/// Which function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Name {
    Round,
    Exp,
    Ln,
    Log10,
    Sqrt,
    Power,
}

/// A function of one or two doubles.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct FloatFunction {
    name: Name,
    signature: Signature,
}

impl FloatFunction {
    /// The function in the place of DataFusion's of this name, for arguments of these types.
    pub(crate) fn of(name: &str, types: &[DataType]) -> Option<FloatFunction> {
        let is_float = |ty: &DataType| matches!(ty, DataType::Float32 | DataType::Float64);
        let is_plain = |ty: &DataType| is_float(ty) || ty.is_integer();
        let name = match (name, types) {
            ("round", [ty]) if is_float(ty) => Name::Round,
            ("exp", [ty]) if is_plain(ty) => Name::Exp,
            ("ln", [ty]) if is_plain(ty) => Name::Ln,
            ("log" | "log10", [ty]) if is_plain(ty) => Name::Log10,
            ("sqrt", [ty]) if is_plain(ty) => Name::Sqrt,
            ("power" | "pow", [base, exponent]) if is_plain(base) && is_plain(exponent) => {
                Name::Power
            }
            _ => return None,
        };
        Some(FloatFunction {
            name,
            signature: Signature::any(types.len(), Volatility::Immutable),
        })
    }
}

impl ScalarUDFImpl for FloatFunction {
    fn name(&self) -> &str {
        match self.name {
            Name::Round => "round",
            Name::Exp => "exp",
            Name::Ln => "ln",
            Name::Log10 => "log10",
            Name::Sqrt => "sqrt",
            Name::Power => "power",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        // What DataFusion's function returns too: plans above count on it.
        Ok(match (&types[0], self.name) {
            (DataType::Float32, Name::Power) => DataType::Float64,
            (DataType::Float32, _) => DataType::Float32,
            _ => DataType::Float64,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        evaluate(&args, |columns, rows| {
            let doubles = columns
                .iter()
                .map(|column| Ok(cast(column, &DataType::Float64)?))
                .collect::<Result<Vec<_>>>()?;
            let first = doubles[0].as_primitive::<Float64Type>();
            let mut out = Float64Array::builder(rows);
            for row in 0..rows {
                if any_null(&doubles, row) {
                    out.append_null();
                    continue;
                }
                let value = first.value(row);
                out.append_value(match doubles.get(1) {
                    Some(second) => power(value, second.as_primitive::<Float64Type>().value(row))?,
                    None => self.of_one(value)?,
                });
            }
            let out = out.finish();
            if *args.return_field.data_type() == DataType::Float32 {
                let out: Float32Array = out.unary::<_, Float32Type>(|value| value as f32);
                return Ok(Arc::new(out));
            }
            Ok(Arc::new(out))
        })
    }
}

impl FloatFunction {
    fn of_one(&self, value: f64) -> Result<f64> {
        let logarithm = |of: fn(f64) -> f64| {
            let no_logarithm = |of| {
                fault(
                    SqlState(*b"2201E"), // invalid_argument_for_logarithm
                    format!("cannot take logarithm of {of}"),
                )
            };
            match value {
                0.0 => Err(no_logarithm("zero")),
                negative if negative < 0.0 => Err(no_logarithm("a negative number")),
                value => Ok(of(value)),
            }
        };
        match self.name {
            Name::Round => Ok(value.round_ties_even()),
            Name::Exp => within(value.exp(), value.is_infinite(), false),
            Name::Ln => logarithm(f64::ln),
            Name::Log10 => logarithm(f64::log10),
            Name::Sqrt if value < 0.0 => {
                Err(power_fault("cannot take square root of a negative number"))
            }
            Name::Sqrt => Ok(value.sqrt()),
            Name::Power => Ok(value),
        }
    }
}

fn power(base: f64, exponent: f64) -> Result<f64> {
    if base == 0.0 && exponent < 0.0 {
        return Err(power_fault("zero raised to a negative power is undefined"));
    }
    if base < 0.0 && exponent.is_finite() && exponent.fract() != 0.0 {
        return Err(power_fault(
            "a negative number raised to a non-integer power yields a complex result",
        ));
    }
    let was_infinite = base.is_infinite() || exponent.is_infinite();
    within(base.powf(exponent), was_infinite, base == 0.0)
}

/// A result, unless it left the range of doubles though no argument had.
fn within(value: f64, was_infinite: bool, was_zero: bool) -> Result<f64> {
    if value.is_infinite() && !was_infinite {
        return Err(DataFusionError::External(Box::new(float_overflow())));
    }
    if value == 0.0 && !was_infinite && !was_zero {
        return Err(DataFusionError::External(Box::new(float_underflow())));
    }
    Ok(value)
}

fn power_fault(message: &str) -> DataFusionError {
    fault(SqlState(*b"2201F"), message) // invalid_argument_for_power_function
}
