//! The router, made from the route table: a route without a handler does not compile.

use std::collections::BTreeMap;

use axum::middleware::{from_fn_with_state, map_request, map_response};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use axum::{Extension, Router};
use keyward_api::Route;

use crate::{
    Admin, accounts, apis, applications, audit, callers, consumers, contract, credentials, explain, gateways,
    grants, groups, guard, health, modules, nodes, once, open_id, operators, patience, plugins, refusal,
    review, secrets, services, sessions, usage, world,
};

/// Everything that the admin address answers.
pub fn router(admin: Admin) -> Router {
    let mut router = Router::new();
    for (path, routes) in by_path() {
        let mut methods = MethodRouter::new();
        let mut allowed = Vec::new();
        for route in routes {
            let named = move |mut response: Response| {
                response.extensions_mut().insert(route);
                std::future::ready(response)
            };
            let once = from_fn_with_state(admin.clone(), once::once);
            let wait = from_fn_with_state(admin.clone(), nodes::wait);
            let handled: MethodRouter<Admin> = handler(route).layer(once);
            let handled: MethodRouter<Admin> = handled.layer(wait);
            methods = methods.merge(handled.layer(Extension(route)).layer(map_response(named)));
            allowed.push(route.method().as_str());
        }
        let allowed = allowed.join(", ");
        let no_method = move || std::future::ready(refusal::no_method(&allowed));
        router = router.route(path, methods.fallback(no_method));
    }
    router
        .fallback(refusal::no_route)
        .layer(from_fn_with_state(admin.clone(), guard::guard))
        .layer(map_request(patience::patient))
        .with_state(admin)
}

fn by_path() -> BTreeMap<&'static str, Vec<Route>> {
    let mut paths: BTreeMap<&'static str, Vec<Route>> = BTreeMap::new();
    for &route in Route::ALL {
        paths.entry(route.path()).or_default().push(route);
    }
    paths
}

fn handler(route: Route) -> MethodRouter<Admin> {
    match route {
        Route::Alive => get(health::alive),
        Route::Ready => get(health::ready),
        Route::Metrics => get(health::metrics),
        Route::Contract => get(contract::document),
        Route::ContractPage => get(contract::page),

        Route::SignInPage => get(sessions::page),
        Route::SignInScript => get(sessions::script),
        Route::BeginSignIn => get(open_id::begin),
        Route::FinishSignIn => get(open_id::finish),
        Route::Bootstrap => post(sessions::bootstrap),
        Route::SignIn => post(sessions::sign_in),
        Route::ShowSession => get(sessions::show),
        Route::SignOut => delete(sessions::sign_out),
        Route::ChangeOwnPassword => post(sessions::change_password),

        Route::ListOperators => get(operators::list),
        Route::CreateOperator => post(operators::create),
        Route::ShowOperator => get(operators::show),
        Route::ChangeOperator => patch(operators::change),
        Route::DeleteOperator => delete(operators::delete),
        Route::EnableOperator => post(operators::enable),
        Route::DisableOperator => post(operators::disable),
        Route::ListOperatorTokens => get(operators::list_tokens),
        Route::CreateOperatorToken => post(operators::create_token),
        Route::DeleteOperatorToken => delete(operators::delete_token),

        Route::ListAudit => get(audit::list),
        Route::ExportAudit => get(audit::export),
        Route::VerifyAudit => get(audit::verify),

        Route::Apply => post(world::apply),
        Route::Export => get(world::export),
        Route::Explain => get(explain::explain),
        Route::WhoCan => get(explain::who_can),

        Route::ListAccounts => get(accounts::list),
        Route::CreateAccount => post(accounts::create),
        Route::ShowAccount => get(accounts::show),
        Route::ChangeAccount => patch(accounts::change),
        Route::DeleteAccount => delete(accounts::delete),
        Route::EnableAccount => post(accounts::enable),
        Route::DisableAccount => post(accounts::disable),

        Route::ListGateways => get(gateways::list),
        Route::CreateGateway => post(gateways::create),
        Route::ShowGateway => get(gateways::show),
        Route::ChangeGateway => patch(gateways::change),
        Route::DeleteGateway => delete(gateways::delete),

        Route::ListNodes => get(nodes::list),
        Route::ForgetNode => delete(nodes::forget),

        Route::ListSecrets => get(secrets::list),
        Route::CreateSecret => post(secrets::create),
        Route::ShowSecret => get(secrets::show),
        Route::ChangeSecret => patch(secrets::change),
        Route::DeleteSecret => delete(secrets::delete),
        Route::EnableSecret => post(secrets::enable),
        Route::DisableSecret => post(secrets::disable),
        Route::RotateSecret => post(secrets::rotate),
        Route::RollBackSecret => post(secrets::roll_back),
        Route::RevealSecret => post(secrets::reveal),
        Route::ListReferences => get(secrets::references),
        Route::ListServices => get(services::list),
        Route::CreateService => post(services::create),
        Route::ShowService => get(services::show),
        Route::ChangeService => patch(services::change),
        Route::DeleteService => delete(services::delete),
        Route::EnableService => post(services::enable),
        Route::DisableService => post(services::disable),

        Route::ListApis => get(apis::list),
        Route::CreateApi => post(apis::create),
        Route::ShowApi => get(apis::show),
        Route::ChangeApi => patch(apis::change),
        Route::DeleteApi => delete(apis::delete),
        Route::EnableApi => post(apis::enable),
        Route::DisableApi => post(apis::disable),
        Route::PublishStage => put(apis::publish),
        Route::UnpublishStage => delete(apis::unpublish),

        Route::ListApplications => get(applications::list),
        Route::CreateApplication => post(applications::create),
        Route::ShowApplication => get(applications::show),
        Route::ChangeApplication => patch(applications::change),
        Route::DeleteApplication => delete(applications::delete),
        Route::EnableApplication => post(applications::enable),
        Route::DisableApplication => post(applications::disable),
        Route::ListKeyPairs => get(applications::list_key_pairs),
        Route::AddKeyPair => post(applications::add_key_pair),
        Route::ListAppCodes => get(applications::list_app_codes),
        Route::AddAppCode => post(applications::add_app_code),

        Route::ListConsumers => get(consumers::list),
        Route::CreateConsumer => post(consumers::create),
        Route::ShowConsumer => get(consumers::show),
        Route::ChangeConsumer => patch(consumers::change),
        Route::DeleteConsumer => delete(consumers::delete),
        Route::EnableConsumer => post(consumers::enable),
        Route::DisableConsumer => post(consumers::disable),
        Route::ListApiKeys => get(consumers::list_api_keys),
        Route::AddApiKey => post(consumers::add_api_key),
        Route::ShowJwt => get(consumers::show_jwt),
        Route::SetJwt => put(consumers::set_jwt),

        Route::LookUpCaller => get(callers::look_up),

        Route::FindCredential => get(credentials::find),
        Route::ShowCredential => get(credentials::show),
        Route::ChangeCredential => patch(credentials::change),
        Route::DeleteCredential => delete(credentials::delete),
        Route::EnableCredential => post(credentials::enable),
        Route::DisableCredential => post(credentials::disable),
        Route::ResetCredential => post(credentials::reset),
        Route::RotateCredential => post(credentials::rotate),
        Route::ReportLeak => post(credentials::report_leak),
        Route::RevealCredential => post(credentials::reveal),

        Route::ListGroups => get(groups::list),
        Route::CreateGroup => post(groups::create),
        Route::ShowGroup => get(groups::show),
        Route::ChangeGroup => patch(groups::change),
        Route::DeleteGroup => delete(groups::delete),
        Route::EnableGroup => post(groups::enable),
        Route::DisableGroup => post(groups::disable),
        Route::AddMember => post(groups::add_member),
        Route::RemoveMember => delete(groups::remove_member),

        Route::ListGrants => get(grants::list),
        Route::CreateGrant => post(grants::create),
        Route::CreateGrants => post(grants::create_many),
        Route::ShowGrant => get(grants::show),
        Route::ChangeGrant => patch(grants::change),
        Route::RevokeGrant => post(grants::revoke),
        Route::RenounceGrant => post(grants::renounce),
        Route::ListModules => get(modules::list),
        Route::CreateModule => post(modules::create),
        Route::ShowModule => get(modules::show),
        Route::ChangeModule => patch(modules::change),
        Route::DeleteModule => delete(modules::delete),
        Route::EnableModule => post(modules::enable),
        Route::DisableModule => post(modules::disable),
        Route::ListPlugins => get(plugins::list),
        Route::CreatePlugin => post(plugins::create),
        Route::ShowPlugin => get(plugins::show),
        Route::ChangePlugin => patch(plugins::change),
        Route::DeletePlugin => delete(plugins::delete),
        Route::EnablePlugin => post(plugins::enable),
        Route::DisablePlugin => post(plugins::disable),
        Route::ListPluginKinds => get(plugins::kinds),

        Route::ReviewAccess => get(review::list),
        Route::ListUsage => get(usage::list),
    }
}
