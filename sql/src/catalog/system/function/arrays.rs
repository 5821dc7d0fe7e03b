//! What the numbers of an array's elements are asked with: `array_subscripts(array)` is an array of
//! them, `expand_array(array)` one of elements with their numbers.
//!
//! `generate_subscripts` and `information_schema._pg_expandarray` are these, made rows.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The functions.
pub(super) fn functions() -> [Arc<ScalarUDF>; 2] {
    static FUNCTIONS: LazyLock<[Arc<ScalarUDF>; 2]> = LazyLock::new(|| {
        ["array_subscripts", "expand_array"].map(|name| {
            let signature = Signature::any(1, Volatility::Immutable);
            Arc::new(ScalarUDF::from(Numbered { name, signature }))
        })
    });
    FUNCTIONS.clone()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Numbered {
    name: &'static str,
    signature: Signature,
}

impl Numbered {
    /// The elements of the result for an array with these elements.
    fn item(&self, element: &Arc<Field>) -> Arc<Field> {
        let data_type = match self.name {
            "array_subscripts" => DataType::Int32,
            _ => DataType::Struct(fields(element)),
        };
        Arc::new(Field::new_list_field(data_type, true))
    }
}

fn fields(element: &Arc<Field>) -> Fields {
    let x = element.as_ref().clone().with_name("x").with_nullable(true);
    Fields::from(vec![x, Field::new("n", DataType::Int32, true)])
}

impl ScalarUDFImpl for Numbered {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match &types[0] {
            DataType::List(element) => Ok(DataType::List(self.item(element))),
            other => plan_err!("{} wants an array, not {other}", self.name),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = matches!(args.args[0], ColumnarValue::Scalar(_));
        let rows = if constant { 1 } else { args.number_rows };
        let array = args.args[0].clone().into_array(rows)?;
        let lists = array.as_list::<i32>();
        let element = match lists.data_type() {
            DataType::List(element) => element.clone(),
            other => return plan_err!("{} wants an array, not {other}", self.name),
        };
        // The elements between the first and the last offset, each with its number in its list.
        let first = lists.value_offsets()[0];
        let numbers: Int32Array = lists
            .value_offsets()
            .windows(2)
            .flat_map(|ends| 1..=ends[1] - ends[0])
            .collect();
        let values = lists.values().slice(first as usize, numbers.len());
        let numbers: ArrayRef = Arc::new(numbers);
        let items: ArrayRef = match self.name {
            "array_subscripts" => numbers,
            _ => Arc::new(StructArray::try_new(
                fields(&element),
                vec![values, numbers],
                None,
            )?),
        };
        let lengths = lists.value_offsets().windows(2);
        let lengths = lengths.map(|ends| (ends[1] - ends[0]) as usize);
        let out: ArrayRef = Arc::new(ListArray::try_new(
            self.item(&element),
            arrow::buffer::OffsetBuffer::from_lengths(lengths),
            items,
            lists.nulls().cloned(),
        )?);
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?));
        }
        Ok(ColumnarValue::Array(out))
    }
}
