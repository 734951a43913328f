//! The routes and their description in OpenAPI: one is not to be had without the other.

use axum::Router;
use axum::middleware::from_fn;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder};
use utoipa::{OpenApi as _, ToSchema as _};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::guard::admit;
use super::idempotency::MAX_KEY;
use super::{Calls, Limits};
use crate::{Action, ObjectKind, Problem, Role};

/// What the document says of the whole.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Esplanade",
        description = "An IPsec VPN gateway. Errors are `application/problem+json` (RFC 9457). On the Unix socket the kernel says who asks; everywhere a bearer token does. `x-required-role` is the least role that may.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Problem, Action, ObjectKind)),
    security(("token" = [])),
    tags(
        (name = "connections", description = "Connections, their tunnels and SAs"),
        (name = "configuration", description = "Documents: checked, compared, put into force"),
        (name = "figures", description = "Counters and tables of the data plane"),
        (name = "access", description = "Tokens, and who did what"),
        (name = "service", description = "The processes themselves")
    )
)]
struct Frame;

/// Where the document says which role an operation needs.
pub(super) const ROLE: &str = "x-required-role";
/// Names of resources; also in the schema of the configuration.
const NAME: &str = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$";
/// The name of the answer that all errors share.
const PROBLEM: &str = "Problem";

/// Collects routes: each comes with its description.
pub(super) struct Routes {
    limits: Limits,
    router: OpenApiRouter<Calls>,
}

impl Routes {
    pub(super) fn new(limits: Limits) -> Self {
        let mut frame = Frame::openapi();
        if let Some(components) = &mut frame.components {
            components.responses.insert(PROBLEM.to_owned(), RefOr::T(problem()));
            let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
            components.security_schemes.insert("token".to_owned(), RefOr::T(bearer));
        }
        Self { limits, router: OpenApiRouter::with_openapi(frame) }
    }

    /// Adds what `routes!` made of handlers that share a path, and the role that whoever asks them must have.
    pub(super) fn add(self, role: Role, (schemas, mut paths, handlers): UtoipaMethodRouter<Calls>) -> Self {
        for operation in paths.paths.values_mut().flat_map(changing) {
            operation.parameters.get_or_insert_default().push(RefOr::T(idempotency_key()));
        }
        for operation in paths.paths.values_mut().flat_map(operations) {
            let summary = operation.summary.clone().unwrap_or_default();
            for answer in operation.responses.responses.values_mut() {
                if let RefOr::T(answer) = answer
                    && answer.description.is_empty()
                {
                    answer.description.clone_from(&summary);
                }
            }
            operation.parameters.iter_mut().flatten().for_each(parameter);
            operation.extensions = Some(Extensions::builder().add(ROLE, role.name()).build());
            let refused = RefOr::Ref(Ref::from_response_name(PROBLEM));
            operation.responses.responses.insert("default".to_owned(), refused);
        }
        let limits = self.limits;
        let handlers = handlers.route_layer(from_fn(move |request, next| admit(limits, role, request, next)));
        Self { limits, router: self.router.routes((schemas, paths, handlers)) }
    }

    pub(super) fn finish(self) -> (Router<Calls>, OpenApi) {
        self.router.split_for_parts()
    }
}

/// What is said of every error.
fn problem() -> Response {
    let schema = Ref::from_schema_name(Problem::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let said =
        "The request was refused, or could not be fulfilled; `code` names why and `fix` says what to do.";
    ResponseBuilder::new().description(said).content("application/problem+json", content).build()
}

/// Says what a type cannot: a parameter is there or not, and never null; and what stands in a path by its name has the
/// shape of all names, unless its route says more.
fn parameter(parameter: &mut RefOr<Parameter>) {
    let RefOr::T(Parameter { parameter_in, schema: Some(RefOr::T(Schema::Object(object))), .. }) = parameter
    else {
        return;
    };
    if let SchemaType::Array(types) = &mut object.schema_type {
        types.retain(|kind| *kind != Type::Null);
        if let [kind] = &types[..] {
            object.schema_type = SchemaType::Type(kind.clone());
        }
    }
    let is_text = object.schema_type == SchemaType::Type(Type::String);
    if is_text && *parameter_in == ParameterIn::Path && object.pattern.is_none() {
        object.pattern = Some(NAME.to_owned());
    }
}

/// The header field that each request may have that changes something.
fn idempotency_key() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(MAX_KEY))
        .pattern(Some("^[!-~]+$"));
    let said = "Chosen by the client: the same request with the same key is done once, and answered as the first time; another \
                request with it is refused with 422. Kept for an hour, and with a commit as long as its revision.";
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(said))
        .schema(Some(schema))
        .build()
}

/// The operations of a path that may change something.
fn changing(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut path.put, &mut path.post, &mut path.patch, &mut path.delete].into_iter().flatten()
}

/// The operations of a path, by any method that the API uses.
pub(super) fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut path.get, &mut path.put, &mut path.post, &mut path.patch, &mut path.delete].into_iter().flatten()
}
