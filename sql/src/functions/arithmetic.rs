//! `+`, `-`, `*`, `/`, `%`, the minus sign and `abs` of integers and floats, with PostgreSQL's errors.
//!
//! DataFusion's operators wrap around where a result leaves its type, and divide floats by zero.
//! The planner puts these in their place once both operands have one type.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Datum, PrimitiveArray, Scalar,
};
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature,
    Volatility,
};

use super::cast::{float_overflow, float_underflow, out_of_range};
use super::fault;
use crate::error::{SqlError, SqlState};
use crate::types::PgType;

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Negate,
    Absolute,
}

impl Operation {
    /// The operation of an operator between two operands.
    pub(crate) fn of(operator: Operator) -> Option<Operation> {
        Some(match operator {
            Operator::Plus => Operation::Add,
            Operator::Minus => Operation::Subtract,
            Operator::Multiply => Operation::Multiply,
            Operator::Divide => Operation::Divide,
            Operator::Modulo => Operation::Remainder,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Operation::Add => "add",
            Operation::Subtract => "subtract",
            Operation::Multiply => "multiply",
            Operation::Divide => "divide",
            Operation::Remainder => "remainder",
            Operation::Negate => "negative",
            Operation::Absolute => "abs",
        }
    }
}

/// One operation as a function of operands that have one type, which the result has too.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Checked {
    operation: Operation,
    signature: Signature,
}

impl Checked {
    pub(crate) fn new(operation: Operation) -> Self {
        let operands = match operation {
            Operation::Negate | Operation::Absolute => 1,
            _ => 2,
        };
        Checked {
            operation,
            signature: Signature::any(operands, Volatility::Immutable),
        }
    }

    /// Whether operands of this type need it.
    pub(crate) fn is_for(ty: &DataType) -> bool {
        matches!(
            ty,
            DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::UInt32
                | DataType::UInt64
                | DataType::Float32
                | DataType::Float64
        )
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.operation.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let may_be_null = args.arg_fields.iter().any(|field| field.is_nullable());
        let ty = args.arg_fields[0].data_type().clone();
        Ok(Arc::new(Field::new(self.name(), ty, may_be_null)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let ty = args.arg_fields[0].data_type().clone();
        let out = match &args.args[..] {
            [value] => self.unary(&value.clone().into_array(if is_constant {
                1
            } else {
                args.number_rows
            })?)?,
            [left, right] => self.binary(&ty, left, right)?,
            _ => return exec_err!("{} of {} operands", self.name(), args.args.len()),
        };
        Ok(if is_constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?)
        } else {
            ColumnarValue::Array(out)
        })
    }
}

impl Checked {
    fn unary(&self, values: &ArrayRef) -> Result<ArrayRef> {
        if self.operation == Operation::Negate {
            return numeric::neg(values).map_err(|error| told(error, values.data_type()));
        }
        Ok(match values.data_type() {
            DataType::Int16 => Arc::new(absolute::<Int16Type>(values, i16::checked_abs)?),
            DataType::Int32 => Arc::new(absolute::<Int32Type>(values, i32::checked_abs)?),
            DataType::Int64 => Arc::new(absolute::<Int64Type>(values, i64::checked_abs)?),
            DataType::Float32 => Arc::new(absolute::<Float32Type>(values, |v| Some(v.abs()))?),
            DataType::Float64 => Arc::new(absolute::<Float64Type>(values, |v| Some(v.abs()))?),
            _ => values.clone(),
        })
    }

    fn binary(
        &self,
        ty: &DataType,
        left: &ColumnarValue,
        right: &ColumnarValue,
    ) -> Result<ArrayRef> {
        if matches!(ty, DataType::Float32) {
            return self.floats::<Float32Type>(left, right);
        }
        if matches!(ty, DataType::Float64) {
            return self.floats::<Float64Type>(left, right);
        }
        self.computed(left, right).map_err(|error| told(error, ty))
    }

    fn computed(
        &self,
        left: &ColumnarValue,
        right: &ColumnarValue,
    ) -> Result<ArrayRef, ArrowError> {
        let (left, right) = (datum(left)?, datum(right)?);
        let (left, right) = (&*left, &*right);
        match self.operation {
            Operation::Add => numeric::add(left, right),
            Operation::Subtract => numeric::sub(left, right),
            Operation::Multiply => numeric::mul(left, right),
            Operation::Divide => numeric::div(left, right),
            _ => numeric::rem(left, right),
        }
    }

    /// Floats have an infinity to leave their range to. PostgreSQL allows that only where one
    /// of the operands was infinite before, and zero likewise.
    fn floats<T: ArrowPrimitiveType>(
        &self,
        left: &ColumnarValue,
        right: &ColumnarValue,
    ) -> Result<ArrayRef>
    where
        T::Native: Into<f64>,
    {
        let out = self.computed(left, right)?;
        let results = out.as_primitive::<T>();
        let (left, right) = (Operand::<T>::new(left)?, Operand::<T>::new(right)?);
        let divides = matches!(self.operation, Operation::Divide | Operation::Remainder);
        let shrinks = matches!(self.operation, Operation::Divide | Operation::Multiply);
        for (row, result) in results.values().iter().enumerate() {
            let result: f64 = (*result).into();
            // Nearly all results are plain numbers: nothing more is asked of them.
            if result.is_normal() && !divides || results.is_null(row) {
                continue;
            }
            let (a, b): (f64, f64) = (left.at(row), right.at(row));
            if divides && b == 0.0 && !a.is_nan() {
                return Err(fault(SqlState::DIVISION_BY_ZERO, "division by zero"));
            }
            if result.is_infinite() && a.is_finite() && b.is_finite() {
                return Err(external(float_overflow()));
            }
            if shrinks && result == 0.0 && a != 0.0 && b != 0.0 && b.is_finite() {
                return Err(external(float_underflow()));
            }
        }
        Ok(out)
    }
}

/// An operand of floats, constant or not.
struct Operand<T: ArrowPrimitiveType> {
    values: PrimitiveArray<T>,
    is_constant: bool,
}

impl<T: ArrowPrimitiveType> Operand<T>
where
    T::Native: Into<f64>,
{
    fn new(value: &ColumnarValue) -> Result<Self> {
        let (array, is_constant) = match value {
            ColumnarValue::Array(array) => (array.clone(), false),
            ColumnarValue::Scalar(scalar) => (scalar.to_array()?, true),
        };
        Ok(Operand {
            values: array.as_primitive::<T>().clone(),
            is_constant,
        })
    }

    fn at(&self, row: usize) -> f64 {
        self.values
            .value(if self.is_constant { 0 } else { row })
            .into()
    }
}

fn datum(value: &ColumnarValue) -> Result<Box<dyn Datum>, ArrowError> {
    Ok(match value {
        ColumnarValue::Array(array) => Box::new(array.clone()),
        ColumnarValue::Scalar(scalar) => {
            let array = scalar
                .to_array()
                .map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
            Box::new(Scalar::new(array))
        }
    })
}

fn absolute<T: ArrowPrimitiveType>(
    values: &ArrayRef,
    absolute: impl Fn(T::Native) -> Option<T::Native>,
) -> Result<PrimitiveArray<T>> {
    let name = PgType::of_arrow(values.data_type()).name();
    values
        .as_primitive::<T>()
        .try_unary(|value| absolute(value).ok_or_else(|| external(out_of_range(&name))))
}

/// An overflow in the words of the type.
fn told(error: ArrowError, ty: &DataType) -> DataFusionError {
    match error {
        ArrowError::ArithmeticOverflow(_) => external(out_of_range(&PgType::of_arrow(ty).name())),
        other => other.into(),
    }
}

fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
