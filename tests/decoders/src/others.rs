//! The decoders compared with: each as its makers mean it to be used, without repairs for the sake of the contract.
//!
//! All but arrow-json read into one struct by serde, strings borrowed where the parser can, and append to Arrow builders. Times
//! are read by `schemas::time`, which is to their advantage. There is no column for the time of
//! taking in.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::builder::{Int32Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_json::ReaderBuilder;
use arrow_schema::{Schema, SchemaRef};
use schemas::table::{self, COLUMNS, EVENT_FIELDS};
use schemas::time;
use serde::Deserialize;

use crate::Decoder;

pub(crate) fn all() -> Vec<Box<dyn Decoder>> {
    vec![Box::new(Sonic), Box::new(Simd::default()), Box::new(Serde), Box::new(ArrowJson)]
}

/// The columns of the table that come from the record.
fn schema() -> SchemaRef {
    Arc::new(Schema::new(table::arrow_schema().fields()[..EVENT_FIELDS].to_vec()))
}

struct ArrowJson;

impl Decoder for ArrowJson {
    fn name(&self) -> &'static str {
        "arrow-json"
    }

    fn decode(&mut self, records: &[Vec<u8>]) -> Option<RecordBatch> {
        let mut decoder = ReaderBuilder::new(schema()).with_batch_size(records.len() + 1).build_decoder().ok()?;
        for record in records {
            decoder.decode(record).ok()?;
        }
        decoder.flush().ok()?
    }
}

struct Serde;

impl Decoder for Serde {
    fn name(&self) -> &'static str {
        "serde_json, struct"
    }

    fn decode(&mut self, records: &[Vec<u8>]) -> Option<RecordBatch> {
        let mut rows = Rows::new(records.len());
        for record in records {
            rows.push(&serde_json::from_slice(record).ok()?)?;
        }
        rows.finish()
    }
}

struct Sonic;

impl Decoder for Sonic {
    fn name(&self) -> &'static str {
        "sonic-rs, struct"
    }

    fn decode(&mut self, records: &[Vec<u8>]) -> Option<RecordBatch> {
        let mut rows = Rows::new(records.len());
        for record in records {
            rows.push(&sonic_rs::from_slice(record).ok()?)?;
        }
        rows.finish()
    }
}

/// Writes into the record as it reads, so that each is copied first.
#[derive(Default)]
struct Simd {
    record: Vec<u8>,
    buffers: simd_json::Buffers,
}

impl Decoder for Simd {
    fn name(&self) -> &'static str {
        "simd-json, struct"
    }

    fn decode(&mut self, records: &[Vec<u8>]) -> Option<RecordBatch> {
        let mut rows = Rows::new(records.len());
        for record in records {
            self.record.clear();
            self.record.extend_from_slice(record);
            rows.push(&simd_json::serde::from_slice_with_buffers(&mut self.record, &mut self.buffers).ok()?)?;
        }
        rows.finish()
    }
}

/// Borrowed unless it has escapes; within an `Option`, serde borrows only what is wrapped like this.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The fields, in the order of the table.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    event_id: Option<Text<'a>>,
    #[serde(borrow)]
    event_timestamp: Option<Text<'a>>,
    #[serde(borrow)]
    user_id: Option<Text<'a>>,
    #[serde(borrow)]
    session_id: Option<Text<'a>>,
    #[serde(borrow)]
    event_type: Option<Text<'a>>,
    #[serde(borrow)]
    page_url: Option<Text<'a>>,
    #[serde(borrow)]
    page_title: Option<Text<'a>>,
    #[serde(borrow)]
    referrer_url: Option<Text<'a>>,
    #[serde(borrow)]
    element_id: Option<Text<'a>>,
    #[serde(borrow)]
    element_text: Option<Text<'a>>,
    #[serde(borrow)]
    device_type: Option<Text<'a>>,
    #[serde(borrow)]
    browser: Option<Text<'a>>,
    #[serde(borrow)]
    os: Option<Text<'a>>,
    screen_width: Option<i32>,
    screen_height: Option<i32>,
    viewport_width: Option<i32>,
    viewport_height: Option<i32>,
    scroll_depth: Option<i32>,
    time_on_page: Option<i32>,
    #[serde(borrow)]
    utm_source: Option<Text<'a>>,
    #[serde(borrow)]
    utm_medium: Option<Text<'a>>,
    #[serde(borrow)]
    utm_campaign: Option<Text<'a>>,
    #[serde(borrow)]
    ip_address: Option<Text<'a>>,
    #[serde(borrow)]
    country: Option<Text<'a>>,
    #[serde(borrow)]
    city: Option<Text<'a>>,
}

/// The columns, by kind and in the order of the table within each.
struct Rows {
    texts: Vec<StringBuilder>,
    ints: Vec<Int32Builder>,
    times: TimestampMicrosecondBuilder,
}

impl Rows {
    fn new(rows: usize) -> Self {
        Self {
            texts: (0..18).map(|_| StringBuilder::with_capacity(rows, rows * 24)).collect(),
            ints: (0..6).map(|_| Int32Builder::with_capacity(rows)).collect(),
            times: TimestampMicrosecondBuilder::with_capacity(rows).with_timezone(table::UTC),
        }
    }

    /// `None` where the time is none.
    fn push(&mut self, event: &Event<'_>) -> Option<()> {
        let texts = [
            &event.event_id,
            &event.user_id,
            &event.session_id,
            &event.event_type,
            &event.page_url,
            &event.page_title,
            &event.referrer_url,
            &event.element_id,
            &event.element_text,
            &event.device_type,
            &event.browser,
            &event.os,
            &event.utm_source,
            &event.utm_medium,
            &event.utm_campaign,
            &event.ip_address,
            &event.country,
            &event.city,
        ];
        let ints = [
            event.screen_width,
            event.screen_height,
            event.viewport_width,
            event.viewport_height,
            event.scroll_depth,
            event.time_on_page,
        ];
        self.times.append_option(match &event.event_timestamp {
            Some(text) => Some(time::parse_iso8601(&text.0)?),
            None => None,
        });
        for (builder, text) in self.texts.iter_mut().zip(texts) {
            builder.append_option(text.as_ref().map(|text| &*text.0));
        }
        for (builder, int) in self.ints.iter_mut().zip(ints) {
            builder.append_option(int);
        }
        Some(())
    }

    fn finish(mut self) -> Option<RecordBatch> {
        let (mut texts, mut ints) = (self.texts.iter_mut(), self.ints.iter_mut());
        let columns = COLUMNS[..EVENT_FIELDS].iter().map(|column| -> Option<ArrayRef> {
            Some(match column.kind {
                table::ColumnKind::String => Arc::new(texts.next()?.finish()),
                table::ColumnKind::Int => Arc::new(ints.next()?.finish()),
                table::ColumnKind::TimestampTz => Arc::new(self.times.finish()),
            })
        });
        RecordBatch::try_new(schema(), columns.collect::<Option<_>>()?).ok()
    }
}
