//! The walk through the parameters of a target: every use of a column, and where it is spelled.

use std::ops::Range;

use super::{
    call::Call,
    cursor::{Field, Name},
    declared::{Declared, Entity},
    embed,
    filter::{Expr, Form, Sense},
    order::Term,
    query::{self, Meaning, Param},
    select::{self, Cast, Item, Spread},
};
use crate::{
    base::{
        ident::{EntityName, FieldName},
        refusal::{Code, Refusal},
        secret::Plaintext,
    },
    dialect::text::Decoded,
    model::{Filter, Placement, Test, Use, UseKind},
};

/// Where a use is spelled. All ranges are of the raw target.
pub(super) enum Site {
    /// An argument of a function, as a parameter.
    Argument { whole: Range<usize>, value: Range<usize> },
    /// Nothing there can be replaced.
    Fixed,
    /// The term of an order: which of the parameter's terms it is, from where, and where the next
    /// begins.
    Term { whole: Range<usize>, place: usize, from: usize, next: Option<usize> },
    /// A test as a parameter of its own.
    Parameter { whole: Range<usize>, embed: Range<usize>, test: TestSite },
    /// A test inside a logic tree; whether every record must pass it.
    Tree { whole: Range<usize>, test: TestSite, is_required: bool },
}

/// The parts of a test.
pub(super) struct TestSite {
    pub(super) column: Range<usize>,
    /// From `not.` to the end of the value.
    pub(super) expr: Range<usize>,
    pub(super) form: Form,
    pub(super) sense: Sense,
    /// Whether `not.` stands before it.
    pub(super) negated: bool,
}

/// Collects uses from the parameters of a target.
pub(super) struct Walk<'a> {
    declared: &'a Declared,
    schema: Option<&'a str>,
    entity: Option<&'a Entity>,
    /// The call of a declared function, if it is one.
    pub(super) call: Option<Call<'a>>,
    pub(super) parameters: Vec<(Param, Meaning)>,
    /// The selection, which embed paths refer to.
    pub(super) select: Vec<Item>,
    found: Vec<(usize, Use, Site)>,
}

impl<'a> Walk<'a> {
    /// Understands every parameter.
    pub(super) fn new(
        declared: &'a Declared,
        schema: Option<&'a str>,
        entity: Option<&'a Entity>,
        target: &str,
    ) -> Result<Self, Refusal> {
        let mut parameters = Vec::new();
        let mut once = Vec::new();
        for param in query::params(target)? {
            // The server follows the first of several; a reader of its logs may think otherwise.
            if let Some(word) = ["select", "columns", "on_conflict"]
                .into_iter()
                .find(|word| *word == param.name.text())
            {
                if once.contains(&word) {
                    return Err(Refusal::new(Code::MalformedTarget).by(word));
                }
                once.push(word);
            }
            let meaning = param.meaning()?;
            parameters.push((param, meaning));
        }
        let select = parameters.iter_mut().find_map(|(_, meaning)| match meaning {
            Meaning::Select(items) => Some(std::mem::take(items)),
            _ => None,
        });
        let select = select.unwrap_or_else(select::everything);
        Ok(Self { declared, schema, entity, call: None, parameters, select, found: Vec::new() })
    }

    /// Collects every use in the parameters.
    pub(super) fn everything(&mut self) -> Result<(), Refusal> {
        let parameters = std::mem::take(&mut self.parameters);
        let select = std::mem::take(&mut self.select);
        let is_main_order = |meaning: &&(Param, Meaning)| matches!(&meaning.1, Meaning::Order { embed, .. } if embed.is_empty());
        let orders = parameters.iter().filter(is_main_order).count();
        for (param, meaning) in &parameters {
            match meaning {
                Meaning::Harmless => {}
                Meaning::Columns(columns) => {
                    let entity = self.call.map_or(self.entity, |call| Some(call.arguments()));
                    for column in columns {
                        self.fixed(param, entity, column, UseKind::Column)?;
                    }
                }
                Meaning::Conflict(columns) => {
                    for column in columns {
                        self.fixed(param, self.entity, column, UseKind::Conflict)?;
                    }
                }
                Meaning::Logic { embed, tests } => {
                    let entity = self.entity_at(&select, embed);
                    let Some(value) = &param.value else { continue };
                    for test in tests {
                        let entity = self.meant(embed, &test.field, entity);
                        let site = |parts| Site::Tree {
                            whole: value.raw(&test.span),
                            test: parts,
                            is_required: test.is_required,
                        };
                        self.test(value, value, entity, &test.field, &test.expr, site)?;
                    }
                }
                Meaning::Order { embed, terms } => {
                    for (number, term) in terms.iter().enumerate() {
                        let mut path = embed.clone();
                        path.extend(term.relation.clone());
                        let entity = self.entity_at(&select, &path);
                        let kind = match term.field.json {
                            Some(_) => UseKind::Transform("json path"),
                            None => UseKind::Order { direction: term.direction, nulls: term.nulls },
                        };
                        let Some(value) = &param.value else { continue };
                        let at = value.raw(&term.field.column.span).start;
                        // Of several orders the server follows one.
                        let from = |term: &Term| value.raw(&term.span).start;
                        let site = Site::Term {
                            whole: param.span.clone(),
                            place: number,
                            from: from(term),
                            next: terms.get(number + 1).map(from),
                        };
                        let place = match path.is_empty() && orders == 1 {
                            true => Placement::Required,
                            false => Placement::Within,
                        };
                        let column = &term.field.column.text;
                        self.push(at, entity, column, kind, place, site)?;
                    }
                }
                Meaning::Select(_) => {
                    self.selected(param, self.entity, &select, embed::is_grouped(&select))?;
                }
                Meaning::Test { embed, field, expr } => {
                    let Some(value) = &param.value else { continue };
                    let entity = self.entity_at(&select, embed);
                    let entity = self.meant(embed, field, entity);
                    let column = param.name.raw(&field.column.span);
                    let site = |parts| Site::Parameter {
                        whole: param.span.clone(),
                        embed: param.span.start..column.start,
                        test: parts,
                    };
                    self.test(&param.name, value, entity, field, expr, site)?;
                }
                Meaning::Value(field) => self.value(param, field)?,
            }
        }
        self.parameters = parameters;
        self.select = select;
        Ok(())
    }

    /// The uses of an upsert that does not say what decides which of two records is the same: the
    /// primary key does, and any protected column may be part of it.
    pub(super) fn key(&mut self, entity: Option<&Entity>, at: usize) -> Result<(), Refusal> {
        if self.parameters.iter().any(|(_, meaning)| matches!(meaning, Meaning::Conflict(_))) {
            return Ok(());
        }
        for column in entity.iter().flat_map(|entity| &entity.columns) {
            self.push(at, entity, column, UseKind::Key, Placement::Within, Site::Fixed)?;
        }
        Ok(())
    }

    /// That the request says in which zone points in time come back.
    pub(super) fn zone(&mut self, at: usize) -> Result<(), Refusal> {
        self.push(at, None, "timezone", UseKind::Zone, Placement::Within, Site::Fixed)
    }

    fn entity_at(&self, select: &[Item], path: &[Name]) -> Option<&'a Entity> {
        match (path, self.schema) {
            ([], _) => self.entity,
            (_, Some(schema)) => embed::resolve(self.declared, schema, select, path),
            (_, None) => None,
        }
    }

    /// The entity of a test; the arguments of a function if it could be meant for one of them.
    fn meant(
        &self,
        embed: &[Name],
        field: &Field,
        entity: Option<&'a Entity>,
    ) -> Option<&'a Entity> {
        match self.call {
            Some(call) if embed.is_empty() && call.could_be_meant(field, entity) => {
                Some(call.arguments())
            }
            _ => entity,
        }
    }

    /// A name with a value that is no test.
    fn value(&mut self, param: &Param, field: &Field) -> Result<(), Refusal> {
        let entity = self.call.map_or(self.entity, |call| Some(call.arguments()));
        let at = param.name.raw(&field.column.span).start;
        let (operator, test, site) = match (&param.value, self.call) {
            (Some(value), Some(call)) if call.takes(field) => {
                let place = value.raw(&(0..value.text().len()));
                let site = Site::Argument { whole: param.span.clone(), value: place };
                ("argument", Test::Equal(Plaintext::from(value.text())), site)
            }
            _ => ("parameter", Test::Other, Site::Fixed),
        };
        let kind = UseKind::Filter(Filter { operator, test });
        self.push(at, entity, &field.column.text, kind, Placement::Within, site)
    }

    fn push(
        &mut self,
        at: usize,
        entity: Option<&Entity>,
        column: &str,
        kind: UseKind,
        place: Placement,
        site: Site,
    ) -> Result<(), Refusal> {
        if self.declared.could_be_cut_to_protected(column) {
            return Err(Refusal::new(Code::MalformedTarget).by("column name"));
        }
        let entity = entity.map(|entity| entity.name.clone());
        self.found.push((at, Use { entity, column: FieldName::new(column), kind, place }, site));
        Ok(())
    }

    /// A use in the value of a parameter, with nothing to replace.
    fn fixed(
        &mut self,
        param: &Param,
        entity: Option<&Entity>,
        column: &Name,
        kind: UseKind,
    ) -> Result<(), Refusal> {
        match &param.value {
            Some(value) => self.fixed_in(value, entity, column, kind),
            None => Ok(()),
        }
    }

    fn fixed_in(
        &mut self,
        text: &Decoded,
        entity: Option<&Entity>,
        column: &Name,
        kind: UseKind,
    ) -> Result<(), Refusal> {
        let (at, place) = (text.raw(&column.span).start, Placement::Within);
        self.push(at, entity, &column.text, kind, place, Site::Fixed)
    }

    /// A test, whose column is spelled in `names` and whose expression in `values`.
    fn test(
        &mut self,
        names: &Decoded,
        values: &Decoded,
        entity: Option<&Entity>,
        field: &Field,
        expr: &Expr,
        site: impl FnOnce(TestSite) -> Site,
    ) -> Result<(), Refusal> {
        let column = names.raw(&field.column.span);
        let at = column.start;
        if field.json.is_some() {
            let kind = UseKind::Transform("json path");
            let column = &field.column.text;
            return self.push(at, entity, column, kind, Placement::Within, Site::Fixed);
        }
        let raw = |span: &Range<usize>| values.raw(span);
        let form = match &expr.form {
            Form::List(spans) => Form::List(spans.iter().map(raw).collect()),
            Form::Respelled(count) => Form::Respelled(*count),
            Form::Single(span) => Form::Single(raw(span)),
        };
        let span = values.raw(&expr.span);
        let parts = TestSite { column, expr: span, form, sense: expr.sense, negated: expr.negated };
        // An argument is no column, so nothing that stands here could be answered.
        let is_argument = self
            .call
            .is_some_and(|call| entity.is_some_and(|entity| entity.name == call.arguments().name));
        let test = if is_argument { Test::Other } else { expr.test.clone() };
        let site = site(parts);
        let place = match &site {
            Site::Parameter { embed, test, .. } if embed.is_empty() && !test.is_negative() => {
                Placement::Required
            }
            Site::Tree { test, is_required: true, .. } if !test.is_negative() => {
                Placement::Required
            }
            _ => Placement::Within,
        };
        let kind = UseKind::Filter(Filter { operator: expr.operator, test });
        self.push(at, entity, &field.column.text, kind, place, site)
    }

    /// Uses in a selection: casts, paths, aggregates and what is grouped by.
    fn selected(
        &mut self,
        param: &Param,
        entity: Option<&'a Entity>,
        items: &[Item],
        grouped: bool,
    ) -> Result<(), Refusal> {
        let Some(value) = &param.value else { return Ok(()) };
        for item in items {
            match item {
                Item::All(at) => {
                    let at = value.raw(&(*at..*at)).start;
                    for column in entity.filter(|_| grouped).iter().flat_map(|e| &e.columns) {
                        let kind = UseKind::Transform("group by");
                        self.push(at, entity, column, kind, Placement::Within, Site::Fixed)?;
                    }
                }
                Item::Column { field, cast, aggregate, .. } => {
                    let mut words = Vec::new();
                    words.extend(field.json.as_ref().map(|_| "json path"));
                    words.extend((*cast == Cast::Other).then_some("cast"));
                    words.extend(aggregate.filter(|word| *word != "count"));
                    words.extend((grouped && aggregate.is_none()).then_some("group by"));
                    let transforms = words.into_iter().map(UseKind::Transform);
                    let text =
                        (*cast == Cast::Text && aggregate.is_none()).then_some(UseKind::Text);
                    for kind in transforms.chain(text) {
                        self.fixed_in(value, entity, &field.column, kind)?;
                    }
                }
                Item::Count => {}
                Item::Embed { relation, spread, items, .. } => {
                    let inner = self.schema.and_then(|s| self.declared.entity(s, &relation.text));
                    if inner.is_none() && !items.is_empty() {
                        self.embedded(value, relation);
                    }
                    let grouped = match spread {
                        Spread::Nested => embed::is_grouped(items),
                        Spread::Spread => grouped || embed::is_grouped(items),
                    };
                    self.selected(param, inner, items, grouped)?;
                }
            }
        }
        Ok(())
    }

    /// Records of an entity that is not known, be it that it goes by the name of a foreign key.
    fn embedded(&mut self, text: &Decoded, relation: &Name) {
        let at = text.raw(&relation.span).start;
        let entity = self.schema.map(|s| EntityName::new(format!("{s}.{}", relation.text)));
        let (column, kind) = (FieldName::new(relation.text.as_str()), UseKind::Embed);
        let place = Placement::Within;
        self.found.push((at, Use { entity, column, kind, place }, Site::Fixed));
    }

    /// What was collected.
    pub(super) fn in_byte_order(&mut self) -> (Vec<Use>, Vec<Site>) {
        let mut found = std::mem::take(&mut self.found);
        found.sort_by_key(|(at, ..)| *at);
        found.into_iter().map(|(_, found, site)| (found, site)).unzip()
    }
}
