mod decode;
mod schema;
mod text;
