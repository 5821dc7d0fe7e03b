//! Parameters whose value changes between the runs of one plan.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, exec_err, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use parking_lot::RwLock;

/// The parameters of one plan. None is NULL.
#[derive(Debug)]
pub(crate) struct Parameters {
    types: Vec<DataType>,
    values: RwLock<Values>,
    config: Arc<ConfigOptions>,
}

#[derive(Debug)]
struct Values {
    values: Vec<ScalarValue>,
    /// Whether expressions may ask for them. While the plan is made they may not, or a value would
    /// be taken for a constant.
    are_given: bool,
}

impl Parameters {
    /// Parameters of a plan that is being made, with the values that it is made for.
    pub(crate) fn new(values: Vec<ScalarValue>, config: Arc<ConfigOptions>) -> Arc<Self> {
        Arc::new(Parameters {
            types: values.iter().map(ScalarValue::data_type).collect(),
            values: RwLock::new(Values {
                values,
                are_given: false,
            }),
            config,
        })
    }

    /// Whether the plan may run with these values.
    pub(crate) fn fit(&self, values: &[ScalarValue]) -> bool {
        values.len() == self.types.len()
            && values
                .iter()
                .zip(&self.types)
                .all(|(value, ty)| !value.is_null() && value.data_type() == *ty)
    }

    /// Gives them values for a run.
    pub(crate) fn give(&self, values: &[ScalarValue]) {
        *self.values.write() = Values {
            values: values.to_vec(),
            are_given: true,
        };
    }

    fn value(&self, number: usize) -> Result<ScalarValue> {
        let values = self.values.read();
        match values.values.get(number) {
            Some(value) if values.are_given => Ok(value.clone()),
            _ => exec_err!("parameter ${} has no value yet", number + 1),
        }
    }

    /// Forgets the values: they may be large, and the next run has others.
    pub(super) fn forget(&self) {
        *self.values.write() = Values {
            values: Vec::new(),
            are_given: false,
        };
    }

    /// The plan with these parameters where the statement's placeholders are.
    ///
    /// # Errors
    /// When the plan has a placeholder that stands for no parameter, or rows of placeholders.
    pub(crate) fn put_into(self: &Arc<Self>, plan: LogicalPlan) -> Result<LogicalPlan> {
        let mut occurrences = 0;
        let plan = plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            let put = plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let put = self.put(expr, &mut occurrences)?;
                Ok(match put.transformed {
                    true => put.update_data(|expr| name.restore(expr)),
                    false => put,
                })
            })?;
            if put.transformed && matches!(put.data, LogicalPlan::Values(_)) {
                return plan_err!("the rows of VALUES have settled their types");
            }
            put.map_data(LogicalPlan::recompute_schema)
        });
        plan.data()
    }

    /// An expression with these parameters where its placeholders are.
    ///
    /// # Errors
    /// When it has a placeholder that stands for no parameter.
    pub(crate) fn put_into_expr(self: &Arc<Self>, expr: Expr) -> Result<Expr> {
        self.put(expr, &mut 0).data()
    }

    fn put(self: &Arc<Self>, expr: Expr, occurrences: &mut usize) -> Result<Transformed<Expr>> {
        expr.transform_up(|expr| match expr {
            Expr::Placeholder(placeholder) => {
                *occurrences += 1;
                let parameter = self.expression(&placeholder.id, *occurrences)?;
                Ok(Transformed::yes(parameter))
            }
            _ => Ok(Transformed::no(expr)),
        })
    }

    fn expression(self: &Arc<Self>, id: &str, occurrence: usize) -> Result<Expr> {
        let number = id.strip_prefix('$').and_then(|n| n.parse::<usize>().ok());
        let found = number.and_then(|n| Some((n, self.types.get(n.checked_sub(1)?)?)));
        let Some((number, ty)) = found else {
            return plan_err!("there is no parameter {id}");
        };
        let function = Parameter {
            number: number - 1,
            occurrence,
            name: id.to_owned(),
            data_type: ty.clone(),
            signature: Signature::nullary(Volatility::Stable),
            parameters: self.clone(),
        };
        let function = Arc::new(ScalarUDF::new_from_impl(function));
        Ok(Expr::ScalarFunction(ScalarFunction::new_udf(
            function,
            Vec::new(),
        )))
    }

    /// A filter of a scan with the values of now in it, as simple as it can be said.
    ///
    /// # Errors
    /// Those of expressions that have no value, such as a division by zero.
    pub(crate) fn bind(&self, filter: &Expr, schema: &SchemaRef) -> Result<Expr> {
        let values = self.values.read();
        let bound = filter.clone().transform_up(|expr| {
            if let Expr::Column(column) = expr {
                return Ok(Transformed::yes(Expr::Column(Column::new_unqualified(
                    column.name,
                ))));
            }
            let value = parameter(&expr).and_then(|p| values.values.get(p.number));
            Ok(match value {
                Some(value) => Transformed::yes(Expr::Literal(value.clone(), None)),
                None => Transformed::no(expr),
            })
        });
        drop(values);
        let bound = bound.data()?;
        if is_simple(&bound) {
            return Ok(bound);
        }
        let schema = Arc::new(DFSchema::try_from(schema.clone())?);
        let context = SimplifyContext::builder()
            .with_schema(schema)
            .with_config_options(self.config.clone())
            .build();
        ExprSimplifier::new(context).simplify(bound)
    }
}

/// Whether a filter compares a column with a value, or is one, so that nothing could be simpler.
fn is_simple(filter: &Expr) -> bool {
    let is_column = |expr: &Expr| matches!(expr, Expr::Column(_));
    let is_value = |expr: &Expr| matches!(expr, Expr::Literal(..));
    match filter {
        Expr::Literal(..) => true,
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            use Operator::{Eq, Gt, GtEq, Lt, LtEq};
            matches!(op, Eq | Lt | LtEq | Gt | GtEq) && is_column(left) && is_value(right)
        }
        Expr::Between(between) => {
            is_column(&between.expr) && is_value(&between.low) && is_value(&between.high)
        }
        _ => false,
    }
}

/// Whether an expression has a parameter in it.
///
/// # Errors
/// None.
pub(crate) fn has_parameter(expr: &Expr) -> Result<bool> {
    expr.exists(|expr| Ok(parameter(expr).is_some()))
}

/// Whether a function stands for a parameter.
pub(super) fn is_parameter(function: &ScalarUDF) -> bool {
    function.inner().is::<Parameter>()
}

/// The parameter that an expression is.
fn parameter(expr: &Expr) -> Option<&Parameter> {
    match expr {
        Expr::ScalarFunction(function) => function.func.inner().downcast_ref::<Parameter>(),
        _ => None,
    }
}

/// One of them, as a function without arguments.
#[derive(Debug)]
struct Parameter {
    /// Counted from 0.
    number: usize,
    /// Each occurrence is an expression of its own: it is no work that could be shared.
    occurrence: usize,
    /// `$1`
    name: String,
    data_type: DataType,
    signature: Signature,
    parameters: Arc<Parameters>,
}

impl PartialEq for Parameter {
    fn eq(&self, other: &Self) -> bool {
        self.occurrence == other.occurrence && Arc::ptr_eq(&self.parameters, &other.parameters)
    }
}

impl Eq for Parameter {}

impl Hash for Parameter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.occurrence.hash(state);
    }
}

impl ScalarUDFImpl for Parameter {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        // A plan with a NULL is made for it alone.
        let field = Field::new(&self.name, self.data_type.clone(), false);
        Ok(Arc::new(field))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.parameters
            .value(self.number)
            .map(ColumnarValue::Scalar)
    }
}
