//! The alert that runs.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_alert::decision::{AlertState, Decision, DecisionSettings, Report};
use levada_alert::event::{Details, Event, EventData};
use levada_alert::info::{AlertInfo, ServerInfo};
use levada_alert::inhibit::{Inhibitor, Inhibitors};
use levada_alert::level::Level;
use levada_model::{
    Batch, BatchRef, FieldValue, Group, GroupKey, Point, Series, Shape, Str, Timestamp,
};
use levada_template::{Template, Value};

use super::definition::Alert;
use super::levels::Levels;
use crate::effect::Effect;
use crate::runtime::services::Alerts;
use crate::runtime::{Node, Out, PerGroup, Reader, StartContext, StateError, Step, Writer};

/// The templates.
pub(super) struct Texts {
    pub(super) id: Arc<Template>,
    pub(super) message: Arc<Template>,
    pub(super) details: Arc<Template>,
    /// The default cannot fail, so it is rendered when somebody reads it.
    pub(super) has_default_details: bool,
}

pub(super) struct Running {
    texts: Texts,
    levels: Levels,
    settings: DecisionSettings,
    alerts: Arc<dyn Alerts>,
    inhibitors: Inhibitors,
    server: Arc<ServerInfo>,
    task: Str,
    category: Str,
    topic: Str,
    has_handlers: bool,
    /// Category and tags of each `inhibit`.
    inhibits: Vec<(Str, Arc<[Str]>)>,
    augment: Augment,
    groups: PerGroup<GroupState>,
    counts: Counts,
}

struct GroupState {
    alert: AlertState,
    /// The series that `id` was rendered for.
    series: u64,
    id: Str,
    /// The measurement of the first data item.
    name: Str,
    inhibitors: Box<[Inhibitor]>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    triggered: i64,
    inhibited: i64,
    dropped: i64,
    by_level: [i64; 4],
}

/// What is added to the items that are handed on.
struct Augment {
    level_tag: Option<Str>,
    id_tag: Option<Str>,
    /// In the order level, id, duration, message.
    fields: [Option<Str>; 4],
    shapes: HashMap<u64, Extended, RandomState>,
    series: HashMap<(u64, Level), (Str, Arc<Series>), RandomState>,
}

struct Extended {
    shape: Arc<Shape>,
    /// Where each of the four fields goes.
    places: [usize; 4],
}

/// Shapes and series that are remembered.
const SHAPES_MAX: usize = 10_000;
const SERIES_MAX: usize = 200_000;

// === impl Running ===

impl Running {
    pub(super) fn new(
        spec: &Alert,
        texts: Texts,
        levels: Levels,
        settings: DecisionSettings,
        alerts: Arc<dyn Alerts>,
        ctx: &StartContext<'_>,
    ) -> Self {
        let optional = |text: &str| (!text.is_empty()).then(|| Str::from(text));
        let inhibits = spec.inhibitors.0.iter().map(|(category, tags)| {
            let mut tags: Vec<Str> = tags.iter().map(|tag| tag.as_str().into()).collect();
            tags.sort();
            tags.dedup();
            (Str::from(category.as_str()), tags.into())
        });
        Running {
            texts,
            levels,
            settings,
            inhibitors: alerts.inhibitors(),
            server: Arc::new(ctx.services.server()),
            task: Str::clone(&ctx.task),
            category: spec.category.0.as_str().into(),
            topic: spec.topic.0.as_str().into(),
            has_handlers: false,
            inhibits: inhibits.collect(),
            augment: Augment {
                level_tag: optional(&spec.level_tag.0),
                id_tag: optional(&spec.id_tag.0),
                fields: [
                    optional(&spec.level_field.0),
                    optional(&spec.id_field.0),
                    optional(&spec.duration_field.0),
                    optional(&spec.message_field.0),
                ],
                shapes: HashMap::default(),
                series: HashMap::default(),
            },
            groups: PerGroup::default(),
            counts: Counts::default(),
            alerts,
        }
    }

    /// Says that events go to the topic of the node.
    pub(super) fn with_handlers(self, has_handlers: bool) -> Self {
        Running { has_handlers, ..self }
    }

    /// Makes the state of a group on its first data; its level goes on where the topics know one.
    fn enter(
        &mut self,
        name: &Str,
        group: &Arc<Group>,
        point: Option<&Point>,
        out: &Out<'_>,
    ) -> Step {
        if self.groups.get(group.slot).is_some() {
            return Ok(());
        }
        let id = self.render_id(name, group, point, out)?;
        let mut alert = AlertState::new(&self.settings);
        let topic = (!self.topic.is_empty()).then_some(&*self.topic);
        let known =
            self.alerts.restore(&self.task, &out.name().name, self.has_handlers, topic, &id);
        if let Some((level, time)) = known {
            alert.restore(level, time);
        }
        let inhibitors = self.inhibitors_of(group, alert.level() != Level::Ok);
        let series = point.map_or(0, |point| point.series.id);
        let name = Str::clone(name);
        self.groups.entry(group.slot, || GroupState { alert, series, id, name, inhibitors });
        Ok(())
    }

    fn inhibitors_of(&self, group: &Group, is_set: bool) -> Box<[Inhibitor]> {
        let make = |(category, tags): &(Str, Arc<[Str]>)| {
            let values = tags.iter().map(|tag| group.key.tag(tag).cloned().unwrap_or_default());
            let mut inhibitor =
                self.inhibitors.inhibitor(Str::clone(category), Arc::clone(tags), values.collect());
            inhibitor.set(is_set);
            inhibitor
        };
        self.inhibits.iter().map(make).collect()
    }

    fn render_id(
        &self,
        name: &Str,
        group: &Arc<Group>,
        point: Option<&Point>,
        out: &Out<'_>,
    ) -> Result<Str, Box<crate::runtime::Failure>> {
        let info = match point {
            Some(point) => AlertInfo::of_point(point, &group.id, &self.task, &self.server),
            None => {
                let none = BatchRef { name, group, time: Timestamp(0), points: &[] };
                AlertInfo::of_batch(none, &self.task, &self.server)
            }
        };
        let mut text = String::new();
        self.texts
            .id
            .execute(&Value::Struct(&info), &mut text)
            .map_err(|error| out.fail(error.to_string()))?;
        Ok(text.into())
    }

    /// The id of the item at hand: it depends on group and tags only, so the last one is kept.
    fn id(
        &mut self,
        name: &Str,
        group: &Arc<Group>,
        point: Option<&Point>,
        out: &Out<'_>,
    ) -> Result<Str, Box<crate::runtime::Failure>> {
        let series = point.map_or(0, |point| point.series.id);
        if let Some(state) = self.groups.get(group.slot)
            && state.series == series
            && *state.name == **name
        {
            return Ok(Str::clone(&state.id));
        }
        let id = self.render_id(name, group, point, out)?;
        if let Some(state) = self.groups.get_mut(group.slot) {
            state.series = series;
            state.id = Str::clone(&id);
            state.name = Str::clone(name);
        }
        Ok(id)
    }

    fn inhibit(&mut self, slot: u32, decision: &Decision) {
        if self.inhibits.is_empty() {
            return;
        }
        if let (Some(state), Some(is_set)) = (self.groups.get_mut(slot), decision.inhibits()) {
            state.inhibitors.iter_mut().for_each(|inhibitor| inhibitor.set(is_set));
        }
    }

    /// Makes the event and tells the topics; gives id and message for the items that are handed on.
    fn report(
        &mut self,
        report: &Report,
        name: &Str,
        group: &Arc<Group>,
        data: EventData,
        out: &mut Out<'_>,
    ) -> Result<(Str, Str), Box<crate::runtime::Failure>> {
        let of_stream = match &data {
            EventData::Point(point) => Some(Arc::clone(point)),
            _ => None,
        };
        let id = self.id(name, group, of_stream.as_deref(), out)?;
        let shown = Shown {
            data: data.clone(),
            name: Str::clone(name),
            task: Str::clone(&self.task),
            group: Arc::clone(group),
            server: Arc::clone(&self.server),
            id: Str::clone(&id),
            report: *report,
        };
        let mut message = String::new();
        shown
            .render(&self.texts.message, None, &mut message)
            .map_err(|error| out.fail(error.to_string()))?;
        let message: Str = message.into();
        let details = self.details(shown, &message, out)?;
        let group_text = if group.id.is_empty() { Str::from("nil") } else { Str::clone(&group.id) };
        let mut event = Event {
            id: Str::clone(&id),
            message: Str::clone(&message),
            details,
            time: report.time,
            duration: report.duration,
            level: report.level,
            previous_level: report.previous,
            is_recoverable: !self.settings.no_recoveries,
            task: Str::clone(&self.task),
            category: Str::clone(&self.category),
            group: group_text,
            data,
            hops: 0,
        };
        if self.inhibitors.is_inhibited(&event) {
            self.counts.inhibited += 1;
            return Ok((id, message));
        }
        self.counts.triggered += 1;
        self.counts.by_level[report.level as usize] += 1;
        let topic = (!self.topic.is_empty()).then_some(&*self.topic);
        let noted = self.alerts.note(&out.name().name, self.has_handlers, topic, &event);
        event.previous_level = noted.unwrap_or(event.previous_level);
        let effect =
            Effect::Alert { event: &Arc::new(event), topic, has_handlers: self.has_handlers };
        if let Err(cause) = out.effect(effect) {
            self.counts.dropped += 1;
            out.error("encountered error collecting event", &cause, &[]);
        }
        Ok((id, message))
    }

    fn details(
        &self,
        shown: Shown,
        message: &Str,
        out: &Out<'_>,
    ) -> Result<Details, Box<crate::runtime::Failure>> {
        let template = Arc::clone(&self.texts.details);
        if self.texts.has_default_details {
            let message = Str::clone(message);
            let server = Arc::clone(&shown.server);
            let make = move || shown.with_info(Some(&message), |info| info.default_details());
            return Ok(Details::default_lazy(server, make));
        }
        let mut text = String::new();
        shown
            .render(&template, Some(message), &mut text)
            .map_err(|error| out.fail(error.to_string()))?;
        Ok(Details::from(Str::from(text)))
    }
}

/// What templates see of an event, kept until the details are read.
struct Shown {
    data: EventData,
    name: Str,
    task: Str,
    group: Arc<Group>,
    server: Arc<ServerInfo>,
    id: Str,
    report: Report,
}

// === impl Shown ===

impl Shown {
    fn render(
        &self,
        template: &Template,
        message: Option<&str>,
        text: &mut String,
    ) -> Result<(), levada_template::ExecError> {
        self.with_info(message, |info| template.execute(&Value::Struct(info), text))
    }

    fn with_info<T>(&self, message: Option<&str>, show: impl FnOnce(&AlertInfo<'_>) -> T) -> T {
        let (info, point) = match &self.data {
            EventData::Point(point) => (
                AlertInfo::of_point(point, &self.group.id, &self.task, &self.server),
                Some(&**point),
            ),
            EventData::Batch(batch, at) => (
                AlertInfo::of_batch((**batch).as_ref(), &self.task, &self.server),
                batch.points.get(*at),
            ),
            EventData::None | EventData::Many(_) => {
                let (name, group) = (&self.name, &self.group);
                let none = BatchRef { name, group, time: Timestamp(0), points: &[] };
                (AlertInfo::of_batch(none, &self.task, &self.server), None)
            }
        };
        let info = match point {
            Some(point) => info.with_report(&self.id, &self.report, point),
            None => info,
        };
        match message {
            Some(message) => show(&info.with_message(message)),
            None => show(&info),
        }
    }
}

// === impl Augment ===

impl Augment {
    fn has_tags(&self) -> bool {
        self.level_tag.is_some() || self.id_tag.is_some()
    }

    fn is_empty(&self) -> bool {
        !self.has_tags() && self.fields.iter().all(Option::is_none)
    }

    fn series(&mut self, old: &Arc<Series>, level: Level, id: &Str) -> Arc<Series> {
        if !self.has_tags() {
            return Arc::clone(old);
        }
        if let Some((known_id, series)) = self.series.get(&(old.id, level))
            && *known_id == *id
        {
            return Arc::clone(series);
        }
        let mut tags: Vec<(Str, Str)> = old
            .tags()
            .filter(|(key, _)| {
                Some(*key) != self.level_tag.as_ref() && Some(*key) != self.id_tag.as_ref()
            })
            .map(|(key, value)| (Str::clone(key), Str::clone(value)))
            .collect();
        tags.extend(self.level_tag.iter().map(|tag| (Str::clone(tag), level.as_str().into())));
        tags.extend(self.id_tag.iter().map(|tag| (Str::clone(tag), Str::clone(id))));
        let series = Series::new(
            Str::clone(&old.database),
            Str::clone(&old.retention),
            Str::clone(&old.name),
            tags,
        );
        if self.series.len() >= SERIES_MAX {
            self.series.clear();
        }
        self.series.insert((old.id, level), (Str::clone(id), Arc::clone(&series)));
        series
    }

    fn point(&mut self, old: &Point, report: &Report, id: &Str, message: &Str) -> Point {
        let series = self.series(&old.series, report.level, id);
        let mut point = Point { series, ..old.clone() };
        if self.fields.iter().all(Option::is_none) {
            return point;
        }
        if !self.shapes.contains_key(&old.shape.id) {
            if self.shapes.len() >= SHAPES_MAX {
                self.shapes.clear();
            }
            self.shapes.insert(old.shape.id, Extended::new(&old.shape, &self.fields));
        }
        let extended = &self.shapes[&old.shape.id];
        point.values.resize(extended.shape.names.len(), FieldValue::Null);
        point.shape = Arc::clone(&extended.shape);
        let values = [
            FieldValue::Str(report.level.as_str().into()),
            FieldValue::Str(Str::clone(id)),
            FieldValue::Int(report.duration),
            FieldValue::Str(Str::clone(message)),
        ];
        for ((field, place), value) in self.fields.iter().zip(extended.places).zip(values) {
            if field.is_some() {
                point.values[place] = value;
            }
        }
        point
    }
}

// === impl Extended ===

impl Extended {
    fn new(old: &Shape, fields: &[Option<Str>; 4]) -> Self {
        let mut names: Vec<Str> = old.names.to_vec();
        let mut places = [0; 4];
        for (place, field) in places.iter_mut().zip(fields) {
            let Some(field) = field else { continue };
            *place = names.iter().position(|known| known == field).unwrap_or_else(|| {
                names.push(Str::clone(field));
                names.len() - 1
            });
        }
        Extended { shape: Shape::new(names.into()), places }
    }
}

impl Node for Running {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        self.enter(&point.series.name, group, Some(point), out)?;
        let Some(state) = self.groups.get_mut(group.slot) else { return Ok(()) };
        let levels = &mut self.levels;
        let decision = state
            .alert
            .point(&self.settings, point.time, |what| ask(levels, what, point, group.slot, out));
        self.inhibit(group.slot, &decision);
        let Some(report) = decision.report() else { return Ok(()) };
        let data = EventData::Point(Arc::new(point.clone()));
        let name = Str::clone(&point.series.name);
        let (id, message) = self.report(report, &name, group, data, out)?;
        if !out.has_children() {
            return Ok(());
        }
        if self.augment.is_empty() {
            return out.point(point, group);
        }
        let changed = self.augment.point(point, report, &id, &message);
        let regrouped = self.regroup(group, &changed.series, out);
        out.point(&changed, &regrouped)
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        if batch.points.is_empty() {
            return Ok(());
        }
        self.enter(batch.name, batch.group, None, out)?;
        let Some(state) = self.groups.get_mut(batch.group.slot) else { return Ok(()) };
        let levels = &mut self.levels;
        let decision =
            state.alert.batch(&self.settings, batch.time, batch.points, |point, what| {
                ask(levels, what, point, batch.group.slot, out)
            });
        self.inhibit(batch.group.slot, &decision);
        let Some(report) = decision.report() else { return Ok(()) };
        let owned: Arc<Batch> = Arc::new(batch.to_owned());
        let data = EventData::Batch(owned, report.index);
        let (id, message) = self.report(report, batch.name, batch.group, data, out)?;
        if !out.has_children() {
            return Ok(());
        }
        if self.augment.is_empty() {
            return out.batch(batch);
        }
        let points: Vec<Point> = batch
            .points
            .iter()
            .map(|point| self.augment.point(point, report, &id, &message))
            .collect();
        let Some(group) = self.batch_group(batch.group, report.level, &id, out) else {
            out.error("too many groups", batch.name, &[]);
            return Ok(());
        };
        out.batch(BatchRef { points: &points, group: &group, ..batch })
    }

    fn forget(&mut self, slot: u32) {
        // Dropping the state lifts its inhibitors (U-28).
        self.groups.remove(slot);
        self.levels.forget(slot);
    }

    fn cardinality(&self) -> usize {
        self.groups.len()
    }

    fn statistics(&self) -> Vec<(&'static str, i64)> {
        let [ok, info, warning, critical] = self.counts.by_level;
        vec![
            ("alerts_inhibited", self.counts.inhibited),
            ("alerts_triggered", self.counts.triggered),
            ("crits_triggered", critical),
            ("events_dropped", self.counts.dropped),
            ("infos_triggered", info),
            ("oks_triggered", ok),
            ("warns_triggered", warning),
        ]
    }

    fn save(&self, writer: &mut Writer<'_>) {
        let mut buffer = Vec::new();
        writer.per_group(&self.groups, |writer, state| {
            buffer.clear();
            state.alert.encode(&mut buffer);
            writer.bytes(&buffer);
            writer.text(&state.id);
            writer.text(&state.name);
        });
        self.levels.save(writer);
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        let settings = self.settings.clone();
        let loaded = reader.per_group(|reader, group| {
            let alert = AlertState::decode(&settings, &mut reader.bytes()?)
                .map_err(|error| StateError::Refused(error.to_string()))?;
            Ok((Arc::clone(group), alert, reader.str()?, reader.str()?))
        })?;
        self.groups = PerGroup::default();
        for (slot, (group, alert, id, name)) in loaded.iter() {
            let inhibitors = self.inhibitors_of(group, alert.level() != Level::Ok);
            // No series has this number, so the id is rendered again for the first item.
            let series = u64::MAX;
            let state = GroupState {
                alert: alert.clone(),
                series,
                id: Str::clone(id),
                name: Str::clone(name),
                inhibitors,
            };
            self.groups.entry(slot, || state);
        }
        self.levels.load(reader)
    }
}

impl Running {
    /// The group of a point whose tags were added to: another one when a dimension was.
    fn regroup(&self, group: &Arc<Group>, series: &Series, out: &mut Out<'_>) -> Arc<Group> {
        let is_dimension =
            |tag: &Option<Str>| tag.as_ref().is_some_and(|tag| group.key.dimensions.contains(tag));
        if !is_dimension(&self.augment.level_tag) && !is_dimension(&self.augment.id_tag) {
            return Arc::clone(group);
        }
        let mut key = GroupKey::of(series, &group.key.dimensions, false);
        key.name.clone_from(&group.key.name);
        out.ctx.group(key).unwrap_or_else(|| Arc::clone(group))
    }

    /// The group of a batch whose tags were added to: its tags are its dimensions.
    fn batch_group(
        &self,
        group: &Arc<Group>,
        level: Level,
        id: &Str,
        out: &mut Out<'_>,
    ) -> Option<Arc<Group>> {
        if !self.augment.has_tags() {
            return Some(Arc::clone(group));
        }
        let mut tags: Vec<(Str, Str)> =
            group.key.tags().map(|(key, value)| (Str::clone(key), Str::clone(value))).collect();
        let added = [
            self.augment.level_tag.as_ref().map(|tag| (tag, Str::from(level.as_str()))),
            self.augment.id_tag.as_ref().map(|tag| (tag, Str::clone(id))),
        ];
        for (tag, value) in added.into_iter().flatten() {
            tags.retain(|(known, _)| known != tag);
            tags.push((Str::clone(tag), value));
        }
        tags.sort();
        let (dimensions, values): (Vec<Str>, Vec<Str>) = tags.into_iter().unzip();
        out.ctx.group(GroupKey {
            name: group.key.name.clone(),
            dimensions: dimensions.into(),
            values: values.into(),
        })
    }
}

/// Asks an expression and reports when it fails.
#[inline]
fn ask(
    levels: &mut Levels,
    what: levada_alert::decision::Ask,
    point: &Point,
    slot: u32,
    out: &mut Out<'_>,
) -> Option<Result<bool, ()>> {
    let answer = levels.ask(what, point, slot, &out.ctx.env)?;
    Some(answer.map_err(|error| {
        let context = match what {
            levada_alert::decision::Ask::Level(level) => [("level", level.as_str())],
            levada_alert::decision::Ask::Reset(level) => [("level", level.as_str())],
        };
        out.error(what.error_text(), &error.to_string(), &context);
    }))
}
