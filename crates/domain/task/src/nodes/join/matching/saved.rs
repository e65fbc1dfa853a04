//! The saved state of the pairing.

use std::sync::Arc;

use super::{Match, MatchGroup, Matching, Mode, Reported, Route, Specific};
use crate::nodes::join::sets::Item;
use crate::runtime::{Reader, StateError, Writer};

impl Matching {
    pub(in crate::nodes::join) fn save(&self, writer: &mut Writer<'_>) {
        writer.uint(match self.mode {
            Mode::Undecided => 0,
            Mode::Paired => 1,
            Mode::Plain => 2,
        });
        writer.list(self.reported.iter(), |writer, reported| {
            writer.bool(reported.anything);
            writer.bool(reported.specific);
        });
        writer.per_group(&self.routes, |writer, route| {
            writer.group(&route.match_group);
            writer.bool(route.is_specific);
        });
        writer.per_group(&self.matches, |writer, place| {
            writer.list(place.last.iter(), |writer, last| {
                writer.option(*last, |writer, last| writer.time(last));
            });
            writer.list(place.members.iter(), |writer, member| writer.group(member));
            writer.list(place.matches.iter(), |writer, one| {
                writer.uint(one.parent as u64);
                writer.time(one.time);
                writer.group(&one.group);
                one.item.save(writer);
            });
            writer.list(place.specifics.iter(), |writer, one| {
                writer.uint(one.parent as u64);
                writer.time(one.time);
                writer.group(&one.group);
                one.item.save(writer);
                writer.uint(u64::from(one.delivered));
                writer.list(one.paired.iter(), |writer, paired| writer.uint(u64::from(*paired)));
            });
        });
    }

    pub(in crate::nodes::join) fn load(
        &mut self,
        reader: &mut Reader<'_>,
    ) -> Result<(), StateError> {
        let parents = self.parents;
        self.mode = match reader.uint()? {
            0 => Mode::Undecided,
            1 => Mode::Paired,
            2 => Mode::Plain,
            value => return Err(StateError::Unknown { what: "mode of a join", value }),
        };
        let reported = reader
            .list(|reader| Ok(Reported { anything: reader.bool()?, specific: reader.bool()? }))?;
        of_length(reported.len(), parents)?;
        self.reported = reported.into();
        self.routes = reader.per_group(|reader, _| {
            Ok(Route { match_group: reader.group()?, is_specific: reader.bool()? })
        })?;
        self.matches = reader.per_group(|reader, group| {
            let last = reader.list(|reader| reader.option(Reader::time))?;
            of_length(last.len(), parents)?;
            let members = reader.list(Reader::group)?;
            let matches = reader.list(|reader| {
                let parent = parent(reader, parents)?;
                let (time, group) = (reader.time()?, reader.group()?);
                Ok(Match { time, parent, group, item: Item::load(reader)? })
            })?;
            let specifics = reader.list(|reader| {
                let parent = parent(reader, parents)?;
                let (time, group) = (reader.time()?, reader.group()?);
                let item = Item::load(reader)?;
                let delivered = small(reader.uint()?);
                let paired = reader.list(|reader| reader.uint().map(small))?;
                of_length(paired.len(), parents)?;
                Ok(Specific { time, parent, group, item, delivered, paired: paired.into() })
            })?;
            Ok(MatchGroup {
                _own: Arc::clone(group),
                last: last.into(),
                matches: matches.into(),
                specifics: specifics.into(),
                members,
            })
        })?;
        Ok(())
    }
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn parent(reader: &mut Reader<'_>, parents: usize) -> Result<usize, StateError> {
    let value = reader.uint()?;
    let parent = usize::try_from(value).ok().filter(|parent| *parent < parents);
    parent.ok_or(StateError::Unknown { what: "parent", value })
}

fn of_length(found: usize, parents: usize) -> Result<(), StateError> {
    if found == parents {
        return Ok(());
    }
    Err(StateError::Refused("the saved state is of a join of other parents".to_owned()))
}
