//! Whatever the admin API can do, the command line can.

use clap::CommandFactory as _;
use keyward_api::Route;

use super::Cli;

/// How a route is reached.
enum Reached {
    /// By this command.
    By(&'static str),
    /// By none, for this reason.
    Without(&'static str),
}

use Reached::{By, Without};

/// Commands that are being built: whoever adds them takes them off this list.
const AWAITED: &[&str] = &[];

/// A route that is added does not compile until it has its command.
fn command_of(route: Route) -> Reached {
    match route {
        Route::Alive => Without("probes of an orchestrator ask it"),
        Route::Ready => Without("probes of an orchestrator ask it"),
        Route::Metrics => Without("Prometheus reads it"),
        Route::Contract => By("openapi"),
        Route::ContractPage => Without("browsers show it; `keyward openapi` prints the same"),
        Route::Apply => By("apply"),
        Route::Export => By("export"),
        Route::Explain => By("explain"),
        Route::WhoCan => By("who-can"),
        Route::ListAccounts => By("account list"),
        Route::CreateAccount => By("account create"),
        Route::ShowAccount => By("account show"),
        Route::ChangeAccount => By("account change"),
        Route::DeleteAccount => By("account delete"),
        Route::EnableAccount => By("account enable"),
        Route::DisableAccount => By("account disable"),
        Route::ListGateways => By("gateway list"),
        Route::CreateGateway => By("gateway create"),
        Route::ShowGateway => By("gateway show"),
        Route::ChangeGateway => By("gateway change"),
        Route::DeleteGateway => By("gateway delete"),
        Route::ListNodes => By("node list"),
        Route::ForgetNode => By("node forget"),
        Route::ListSecrets => By("secret list"),
        Route::CreateSecret => By("secret create"),
        Route::ShowSecret => By("secret show"),
        Route::ChangeSecret => By("secret change"),
        Route::DeleteSecret => By("secret delete"),
        Route::EnableSecret => By("secret enable"),
        Route::DisableSecret => By("secret disable"),
        Route::RotateSecret => By("secret rotate"),
        Route::RollBackSecret => By("secret rollback"),
        Route::RevealSecret => By("secret reveal"),
        Route::ListReferences => By("secret references"),
        Route::ListServices => By("service list"),
        Route::CreateService => By("service create"),
        Route::ShowService => By("service show"),
        Route::ChangeService => By("service change"),
        Route::DeleteService => By("service delete"),
        Route::EnableService => By("service enable"),
        Route::DisableService => By("service disable"),
        Route::ListApis => By("api list"),
        Route::CreateApi => By("api create"),
        Route::ShowApi => By("api show"),
        Route::ChangeApi => By("api change"),
        Route::DeleteApi => By("api delete"),
        Route::EnableApi => By("api enable"),
        Route::DisableApi => By("api disable"),
        Route::PublishStage => By("api publish"),
        Route::UnpublishStage => By("api unpublish"),
        Route::ListApplications => By("app list"),
        Route::CreateApplication => By("app create"),
        Route::ShowApplication => By("app show"),
        Route::ChangeApplication => By("app change"),
        Route::DeleteApplication => By("app delete"),
        Route::EnableApplication => By("app enable"),
        Route::DisableApplication => By("app disable"),
        Route::ListKeyPairs => By("app key-pair list"),
        Route::AddKeyPair => By("app key-pair add"),
        Route::ListAppCodes => By("app app-code list"),
        Route::AddAppCode => By("app app-code add"),
        Route::ListConsumers => By("consumer list"),
        Route::CreateConsumer => By("consumer create"),
        Route::ShowConsumer => By("consumer show"),
        Route::ChangeConsumer => By("consumer change"),
        Route::DeleteConsumer => By("consumer delete"),
        Route::EnableConsumer => By("consumer enable"),
        Route::DisableConsumer => By("consumer disable"),
        Route::ListApiKeys => By("consumer api-key list"),
        Route::AddApiKey => By("consumer api-key add"),
        Route::ShowJwt => By("consumer jwt show"),
        Route::SetJwt => By("consumer jwt set"),
        Route::FindCredential => By("credential find"),
        Route::ShowCredential => By("credential show"),
        Route::ChangeCredential => By("credential change"),
        Route::DeleteCredential => By("credential delete"),
        Route::EnableCredential => By("credential enable"),
        Route::DisableCredential => By("credential disable"),
        Route::ResetCredential => By("credential reset"),
        Route::RevealCredential => By("credential reveal"),
        Route::LookUpCaller => By("caller"),
        Route::RotateCredential => By("credential rotate"),
        Route::ReportLeak => By("credential report-leak"),
        Route::CreateGrants => By("grant batch"),
        Route::ListGroups => By("group list"),
        Route::CreateGroup => By("group create"),
        Route::ShowGroup => By("group show"),
        Route::ChangeGroup => By("group change"),
        Route::DeleteGroup => By("group delete"),
        Route::EnableGroup => By("group enable"),
        Route::DisableGroup => By("group disable"),
        Route::AddMember => By("group add-member"),
        Route::RemoveMember => By("group remove-member"),
        Route::ListGrants => By("grant list"),
        Route::CreateGrant => By("grant create"),
        Route::ShowGrant => By("grant show"),
        Route::ChangeGrant => By("grant change"),
        Route::RevokeGrant => By("grant revoke"),
        Route::RenounceGrant => By("grant renounce"),
        Route::ListModules => By("module list"),
        Route::CreateModule => By("module create"),
        Route::ShowModule => By("module show"),
        Route::ChangeModule => By("module change"),
        Route::DeleteModule => By("module delete"),
        Route::EnableModule => By("module enable"),
        Route::DisableModule => By("module disable"),
        Route::ListPlugins => By("plugin list"),
        Route::CreatePlugin => By("plugin create"),
        Route::ShowPlugin => By("plugin show"),
        Route::ChangePlugin => By("plugin change"),
        Route::DeletePlugin => By("plugin delete"),
        Route::EnablePlugin => By("plugin enable"),
        Route::DisablePlugin => By("plugin disable"),
        Route::ListPluginKinds => By("plugin kinds"),
        Route::SignInPage
        | Route::SignInScript
        | Route::BeginSignIn
        | Route::FinishSignIn
        | Route::Bootstrap
        | Route::SignIn
        | Route::ShowSession
        | Route::SignOut => Without("browsers sign in with it; the command line has a token"),
        Route::ChangeOwnPassword => Without("only who is signed in has a password to change"),
        Route::ListOperators => By("operator list"),
        Route::CreateOperator => By("operator create"),
        Route::ShowOperator => By("operator show"),
        Route::ChangeOperator => By("operator change"),
        Route::DeleteOperator => By("operator delete"),
        Route::EnableOperator => By("operator enable"),
        Route::DisableOperator => By("operator disable"),
        Route::ListOperatorTokens => By("operator token list"),
        Route::CreateOperatorToken => By("operator token create"),
        Route::DeleteOperatorToken => By("operator token delete"),
        Route::ReviewAccess => By("access-review"),
        Route::ListUsage => By("usage"),
        Route::ListAudit => By("audit list"),
        Route::ExportAudit => By("audit export"),
        Route::VerifyAudit => By("audit verify"),
    }
}

#[test]
fn every_route_has_its_command() {
    let root = Cli::command();
    for &route in Route::ALL {
        let path = match command_of(route) {
            By(path) => path,
            Without(reason) => {
                assert!(!reason.is_empty() && (!route.is_write() || route.noun() == "session"), "{route:?}");
                continue;
            }
        };
        let first = path.split(' ').next().unwrap_or_default();
        if AWAITED.contains(&first) {
            assert!(
                root.find_subcommand(first).is_none(),
                "`keyward {first}` is there: take it off the list"
            );
            continue;
        }
        let mut command = &root;
        for word in path.split(' ') {
            let inner = command.find_subcommand(word);
            command = inner.unwrap_or_else(|| panic!("{route:?}: there is no `keyward {path}`"));
        }
        assert!(
            command.get_subcommands().next().is_none(),
            "{route:?}: `keyward {path}` does nothing itself"
        );
    }
}

#[test]
fn every_route_that_has_a_command_is_called_by_one() {
    const SOURCES: [&str; 18] = [
        include_str!("review.rs"),
        include_str!("usage.rs"),
        include_str!("nodes.rs"),
        include_str!("operators.rs"),
        include_str!("audit.rs"),
        include_str!("applications.rs"),
        include_str!("apis.rs"),
        include_str!("apply.rs"),
        include_str!("consumers.rs"),
        include_str!("credentials.rs"),
        include_str!("explain.rs"),
        include_str!("export.rs"),
        include_str!("grants.rs"),
        include_str!("groups.rs"),
        include_str!("plugins.rs"),
        include_str!("secrets.rs"),
        include_str!("sign.rs"),
        include_str!("../../../keyward-api/src/client.rs"),
    ];
    for &route in Route::ALL.iter().filter(|route| **route != Route::Contract) {
        let By(path) = command_of(route) else { continue };
        if AWAITED.iter().any(|awaited| path.starts_with(awaited)) {
            continue;
        }
        let is_word =
            |text: &str| text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == route.name());
        assert!(SOURCES.iter().any(|text| is_word(text)), "{route:?} is called nowhere");
    }
}
