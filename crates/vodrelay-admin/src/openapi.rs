//! The OpenAPI document, made from the table that the paths are served from, so that none is served that it does not have.

pub(crate) mod schema;

use axum::routing::MethodRouter;
use serde_json::{Map, Value, json};

use crate::api::ROOT;
use crate::router::Shared;

/// One thing that the API does: how it is asked, how it answers, and what does it.
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) says: &'static str,
    pub(crate) handler: MethodRouter<Shared>,
    pub(crate) parameters: Vec<Value>,
    /// The schema of the body, and one that may be sent.
    pub(crate) body: Option<(Value, Value)>,
    pub(crate) status: u16,
    /// What is answered, and as what.
    pub(crate) answer: Value,
    pub(crate) media_type: &'static str,
    /// Statuses of errors.
    pub(crate) errors: Vec<u16>,
}

impl Operation {
    fn new(
        method: &'static str,
        path: &'static str,
        says: &'static str,
        handler: MethodRouter<Shared>,
    ) -> Self {
        Self {
            method,
            path,
            says,
            handler,
            parameters: Vec::new(),
            body: None,
            status: 200,
            answer: Value::Bool(true),
            media_type: "application/json",
            errors: vec![400, 401, 503],
        }
    }

    pub(crate) fn get(path: &'static str, says: &'static str, handler: MethodRouter<Shared>) -> Self {
        Self::new("get", path, says, handler)
    }

    /// Something that changes things.
    pub(crate) fn post(path: &'static str, says: &'static str, handler: MethodRouter<Shared>) -> Self {
        let errors = vec![400, 401, 403, 408, 413, 415, 422, 503];
        Self { errors, ..Self::new("post", path, says, handler) }
    }

    pub(crate) fn delete(path: &'static str, says: &'static str, handler: MethodRouter<Shared>) -> Self {
        Self { errors: vec![400, 401, 403, 503], ..Self::new("delete", path, says, handler) }
    }

    /// A parameter behind the question mark.
    pub(crate) fn asks(self, name: &str, says: &str, schema: Value) -> Self {
        let parameter = json!({"name": name, "in": "query", "description": says});
        self.parameter(schema::plus(parameter, "schema", schema))
    }

    /// A part of the path.
    pub(crate) fn named(self, name: &str, schema: Value, example: impl Into<Value>) -> Self {
        let parameter = json!({"name": name, "in": "path", "required": true, "example": example.into()});
        self.parameter(schema::plus(parameter, "schema", schema))
    }

    pub(crate) fn parameter(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    pub(crate) fn takes(self, schema: Value, example: Value) -> Self {
        Self { body: Some((schema, example)), ..self }
    }

    pub(crate) fn answers(self, schema: Value) -> Self {
        Self { answer: schema, ..self }
    }

    pub(crate) fn also_fails(mut self, statuses: &[u16]) -> Self {
        self.errors.extend(statuses);
        self
    }

    fn document(&self) -> Value {
        let answer = json!({"description": "Done.", "content": {self.media_type: {"schema": self.answer}}});
        let mut responses = Map::from_iter([(self.status.to_string(), answer)]);
        responses.extend(
            self.errors
                .iter()
                .map(|status| (status.to_string(), json!({"$ref": "#/components/responses/Problem"}))),
        );
        let mut operation = json!({
            "operationId": self.operation_id(), "summary": self.says, "parameters": self.parameters,
            "responses": responses,
        });
        if let (Some((schema, example)), Some(operation)) = (&self.body, operation.as_object_mut()) {
            let content = json!({"application/json": {"schema": schema, "example": example}});
            operation.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
        }
        operation
    }

    fn operation_id(&self) -> String {
        let words = self.path.split(['/', '-', '{', '}', '.']).filter(|word| !word.is_empty());
        std::iter::once(self.method).chain(words).collect::<Vec<_>>().join("_")
    }
}

/// The document of these operations.
pub(crate) fn document(operations: &[Operation]) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations {
        let methods = paths.entry(format!("{ROOT}{}", operation.path)).or_insert_with(|| json!({}));
        if let Some(methods) = methods.as_object_mut() {
            methods.insert(operation.method.to_owned(), operation.document());
        }
    }
    let problem = json!({
        "description": "Why not, for people.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "vodrelay",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What people and their tools ask of a running relay.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schema::components(),
            "responses": {"Problem": problem},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}
