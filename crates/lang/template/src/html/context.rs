//! Where in a document a place is.

use std::fmt;

/// The context of a place: what a browser would take the next character for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Context {
    pub(crate) state: State,
    pub(crate) delim: Delim,
    pub(crate) url: UrlPart,
    pub(crate) slash: Slash,
    pub(crate) attr: Attr,
    pub(crate) element: Element,
    /// Open braces of each `${` of JavaScript template literals around the place.
    pub(crate) braces: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum State {
    #[default]
    Text,
    Tag,
    AttrName,
    AfterName,
    BeforeValue,
    HtmlComment,
    /// The content of `textarea` and `title`.
    RcData,
    Attr,
    Url,
    Srcset,
    Js,
    JsDouble,
    JsSingle,
    JsTemplate,
    JsRegexp,
    JsBlockComment,
    JsLineComment,
    JsHtmlOpenComment,
    JsHtmlCloseComment,
    Css,
    CssDouble,
    CssSingle,
    CssDoubleUrl,
    CssSingleUrl,
    CssUrl,
    CssBlockComment,
    CssLineComment,
    MetaContent,
    MetaContentUrl,
    /// After a `break` or `continue`: never reached.
    Dead,
}

/// What ends the value of an attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Delim {
    #[default]
    None,
    Double,
    Single,
    SpaceOrTagEnd,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum UrlPart {
    #[default]
    None,
    PreQuery,
    QueryOrFragment,
    Unknown,
}

/// What a slash begins in JavaScript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Slash {
    #[default]
    Regexp,
    Division,
    Unknown,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Attr {
    #[default]
    None,
    Script,
    ScriptType,
    Style,
    Url,
    Srcset,
    MetaContent,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Element {
    #[default]
    None,
    Script,
    Style,
    TextArea,
    Title,
    Meta,
}

// === impl Context ===

impl Context {
    pub(crate) fn of(state: State) -> Self {
        Context { state, ..Context::default() }
    }

    /// Goes past what needs no character: before the name or value of an attribute.
    pub(crate) fn nudged(&self) -> Self {
        let mut nudged = self.clone();
        match self.state {
            State::Tag => nudged.state = State::AttrName,
            State::BeforeValue => {
                nudged.state = self.attr.value_state();
                nudged.delim = Delim::SpaceOrTagEnd;
                nudged.attr = Attr::None;
            }
            State::AfterName => {
                nudged.state = State::AttrName;
                nudged.attr = Attr::None;
            }
            _ => {}
        }
        nudged
    }

    /// Gives one context for the end of two branches, if there is one.
    pub(crate) fn joined(&self, other: &Self) -> Option<Self> {
        if self == other {
            return Some(self.clone());
        }
        let with_url = Context { url: other.url, ..self.clone() };
        if with_url == *other {
            return Some(Context { url: UrlPart::Unknown, ..with_url });
        }
        let with_slash = Context { slash: other.slash, ..self.clone() };
        if with_slash == *other {
            return Some(Context { slash: Slash::Unknown, ..with_slash });
        }
        let (left, right) = (self.nudged(), other.nudged());
        if left != *self || right != *other {
            return left.joined(&right);
        }
        None
    }
}

impl State {
    pub(crate) fn is_comment(self) -> bool {
        matches!(
            self,
            State::HtmlComment
                | State::JsBlockComment
                | State::JsLineComment
                | State::JsHtmlOpenComment
                | State::JsHtmlCloseComment
                | State::CssBlockComment
                | State::CssLineComment
        )
    }

    pub(crate) fn is_script_literal(self) -> bool {
        matches!(self, State::JsDouble | State::JsSingle | State::JsTemplate | State::JsRegexp)
    }
}

impl Attr {
    pub(crate) fn value_state(self) -> State {
        match self {
            Attr::None | Attr::ScriptType => State::Attr,
            Attr::Script => State::Js,
            Attr::Style => State::Css,
            Attr::Url => State::Url,
            Attr::Srcset => State::Srcset,
            Attr::MetaContent => State::MetaContent,
        }
    }
}

impl Element {
    pub(crate) fn content_state(self) -> State {
        match self {
            Element::None | Element::Meta => State::Text,
            Element::Script => State::Js,
            Element::Style => State::Css,
            Element::TextArea | Element::Title => State::RcData,
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "script" => Element::Script,
            "style" => Element::Style,
            "textarea" => Element::TextArea,
            "title" => Element::Title,
            "meta" => Element::Meta,
            _ => Element::None,
        }
    }

    /// Gives the beginning of the tag that ends the element, where no other tag counts.
    pub(crate) fn end_tag(self) -> Option<&'static str> {
        match self {
            Element::None | Element::Meta => None,
            Element::Script => Some("</script"),
            Element::Style => Some("</style"),
            Element::TextArea => Some("</textarea"),
            Element::Title => Some("</title"),
        }
    }
}

impl Context {
    /// Gives the name that upstream gives a copy of a template for this context.
    pub(crate) fn name_of_copy(&self, name: &str) -> String {
        if self.state == State::Text {
            return name.to_owned();
        }
        let mut copy = format!("{name}$htmltemplate_{}", self.state.name());
        let parts = [
            (self.delim != Delim::None, self.delim.name()),
            (self.url != UrlPart::None, self.url.name()),
            (self.slash != Slash::Regexp, self.slash.name()),
            (self.attr != Attr::None, self.attr.name()),
            (self.element != Element::None, self.element.name()),
        ];
        for (_, part) in parts.iter().filter(|(shown, _)| *shown) {
            copy.push('_');
            copy.push_str(part);
        }
        copy
    }
}

impl fmt::Display for Context {
    /// Writes the context as the error messages of upstream show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, delim, url) = (self.state.name(), self.delim.name(), self.url.name());
        write!(f, "{{{state} {delim} {url} {} [", self.slash.name())?;
        for (index, open) in self.braces.iter().enumerate() {
            write!(f, "{}{open}", if index > 0 { " " } else { "" })?;
        }
        write!(f, "] {} {} <nil>}}", self.attr.name(), self.element.name())
    }
}

// The names that error messages of upstream show.

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Text => "stateText",
            State::Tag => "stateTag",
            State::AttrName => "stateAttrName",
            State::AfterName => "stateAfterName",
            State::BeforeValue => "stateBeforeValue",
            State::HtmlComment => "stateHTMLCmt",
            State::RcData => "stateRCDATA",
            State::Attr => "stateAttr",
            State::Url => "stateURL",
            State::Srcset => "stateSrcset",
            State::Js => "stateJS",
            State::JsDouble => "stateJSDqStr",
            State::JsSingle => "stateJSSqStr",
            State::JsTemplate => "stateJSTmplLit",
            State::JsRegexp => "stateJSRegexp",
            State::JsBlockComment => "stateJSBlockCmt",
            State::JsLineComment => "stateJSLineCmt",
            State::JsHtmlOpenComment => "stateJSHTMLOpenCmt",
            State::JsHtmlCloseComment => "stateJSHTMLCloseCmt",
            State::Css => "stateCSS",
            State::CssDouble => "stateCSSDqStr",
            State::CssSingle => "stateCSSSqStr",
            State::CssDoubleUrl => "stateCSSDqURL",
            State::CssSingleUrl => "stateCSSSqURL",
            State::CssUrl => "stateCSSURL",
            State::CssBlockComment => "stateCSSBlockCmt",
            State::CssLineComment => "stateCSSLineCmt",
            State::MetaContent => "stateMetaContent",
            State::MetaContentUrl => "stateMetaContentURL",
            State::Dead => "stateDead",
        }
    }
}

impl Delim {
    fn name(self) -> &'static str {
        match self {
            Delim::None => "delimNone",
            Delim::Double => "delimDoubleQuote",
            Delim::Single => "delimSingleQuote",
            Delim::SpaceOrTagEnd => "delimSpaceOrTagEnd",
        }
    }
}

impl UrlPart {
    fn name(self) -> &'static str {
        match self {
            UrlPart::None => "urlPartNone",
            UrlPart::PreQuery => "urlPartPreQuery",
            UrlPart::QueryOrFragment => "urlPartQueryOrFrag",
            UrlPart::Unknown => "urlPartUnknown",
        }
    }
}

impl Slash {
    fn name(self) -> &'static str {
        match self {
            Slash::Regexp => "jsCtxRegexp",
            Slash::Division => "jsCtxDivOp",
            Slash::Unknown => "jsCtxUnknown",
        }
    }
}

impl Attr {
    fn name(self) -> &'static str {
        match self {
            Attr::None => "attrNone",
            Attr::Script => "attrScript",
            Attr::ScriptType => "attrScriptType",
            Attr::Style => "attrStyle",
            Attr::Url => "attrURL",
            Attr::Srcset => "attrSrcset",
            Attr::MetaContent => "attrMetaContent",
        }
    }
}

impl Element {
    fn name(self) -> &'static str {
        match self {
            Element::None => "elementNone",
            Element::Script => "elementScript",
            Element::Style => "elementStyle",
            Element::TextArea => "elementTextarea",
            Element::Title => "elementTitle",
            Element::Meta => "elementMeta",
        }
    }
}
