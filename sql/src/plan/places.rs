//! Batches that are still needed, and places in them: what operators of ours put rows together of.

use arrow::array::{Array, ArrayRef, UInt32Array, new_null_array};
use arrow::compute::{interleave, take};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

/// A row of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) source: usize,
    pub(crate) row: usize,
}

/// The row that is NULL in all columns.
pub(crate) const NULL: Place = Place { source: 0, row: 0 };

/// Batches by number. The first one is [`NULL`].
#[derive(Debug)]
pub(crate) struct Sources(Vec<Vec<ArrayRef>>);

impl Sources {
    pub(crate) fn new(schema: &SchemaRef) -> Self {
        let fields = schema.fields().iter();
        let nulls = fields.map(|field| new_null_array(field.data_type(), 1));
        Sources(vec![nulls.collect()])
    }

    /// Takes a batch, and tells its number.
    pub(crate) fn add(&mut self, columns: Vec<ArrayRef>) -> usize {
        self.0.push(columns);
        self.0.len() - 1
    }

    pub(crate) fn column(&self, source: usize, column: usize) -> &ArrayRef {
        &self.0[source][column]
    }

    pub(crate) fn is_null(&self, place: Place, column: usize) -> bool {
        self.column(place.source, column).is_null(place.row)
    }

    /// A column of the rows at these places.
    pub(crate) fn gather(
        &self,
        column: usize,
        places: impl Iterator<Item = Place>,
    ) -> Result<ArrayRef, ArrowError> {
        let arrays: Vec<&dyn Array> = self.0.iter().map(|c| c[column].as_ref()).collect();
        let places: Vec<(usize, usize)> = places.map(|p| (p.source, p.row)).collect();
        interleave(&arrays, &places)
    }

    /// As [`Sources::gather`], where each row says which column it is taken from.
    pub(crate) fn gather_from(
        &self,
        columns: &[usize],
        places: impl Iterator<Item = (Place, usize)>,
    ) -> Result<ArrayRef, ArrowError> {
        let count = self.0.len();
        let of = |&column: &usize| self.0.iter().map(move |c| c[column].as_ref());
        let arrays: Vec<&dyn Array> = columns.iter().flat_map(of).collect();
        let at = |column| columns.iter().position(|&c| c == column).unwrap_or(0);
        let places: Vec<(usize, usize)> = places
            .map(|(place, column)| (at(column) * count + place.source, place.row))
            .collect();
        interleave(&arrays, &places)
    }

    /// Forgets all batches but those that some places are in, which are told where they are now.
    pub(crate) fn keep<'a>(&mut self, places: impl Iterator<Item = &'a mut Place>) {
        let mut moved: Vec<Option<usize>> = vec![None; self.0.len()];
        let mut kept = vec![std::mem::take(&mut self.0[0])];
        moved[0] = Some(0);
        for place in places {
            let old = place.source;
            let new = *moved[old].get_or_insert_with(|| {
                kept.push(std::mem::take(&mut self.0[old]));
                kept.len() - 1
            });
            place.source = new;
        }
        self.0 = kept;
    }

    /// Keeps one row of a batch, which becomes its first.
    pub(crate) fn shrink(&mut self, source: usize, row: usize) -> Result<(), ArrowError> {
        let row = UInt32Array::from(vec![row as u32]);
        for column in &mut self.0[source] {
            *column = take(column, &row, None)?;
        }
        Ok(())
    }

    /// Memory held, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let arrays = self.0.iter().flatten();
        arrays.map(|array| array.get_array_memory_size()).sum()
    }
}
