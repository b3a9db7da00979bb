// Builds the parts of the daemon in order, and hands each what it needs. Decisions are elsewhere.
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "memory/memory_cgroup.hpp"
#include "net/host.hpp"
#include "net/socket_claim.hpp"
#include "service/command_line.hpp"
#include "service/configuration.hpp"
#include "service/disk_settings.hpp"
#include "service/lifecycle.hpp"
#include "service/log.hpp"
#include "service/quantities.hpp"
#include "service/systemd.hpp"

namespace {

using namespace onced;

constexpr int status_failed = 1;  // something outside: memory, permissions, another daemon
constexpr int status_usage = 2;   // flags or configuration

int fail(int status, const std::string& text) {
  std::fprintf(stderr, "onced: %s\n", text.c_str());
  return status;
}

// Open files that all this may need at most.
std::uint64_t descriptors_wanted(const service::Configuration& configuration) {
  std::uint64_t disk_files = 0;
  for (const auto& [name, share] : service::disk_shares(configuration)) disk_files += tiers::disk_files_of(share.bytes);
  return net::descriptors_wanted(configuration.connections_max, configuration.namespaces.size() + 1, disk_files);
}

// Blobs get the open files that connections leave, but at least a quarter of all: each namespace its share.
std::size_t blobs_per_namespace(const service::Configuration& configuration, std::uint64_t descriptors) {
  const std::uint64_t namespaces = configuration.namespaces.size() + 1;
  const std::uint64_t wanted = descriptors_wanted(configuration);
  const std::uint64_t left = descriptors > wanted ? descriptors - wanted : 0;
  return std::max(left, descriptors / 4) / namespaces;
}

engine::RetentionDefaults retention_defaults(const service::Retention& from) {
  const auto milliseconds = [](const std::optional<std::chrono::milliseconds>& duration) {
    return duration ? static_cast<std::uint64_t>(duration->count()) : protocol::as_configured;
  };
  return {.ttl_ms = milliseconds(from.ttl),
          .grace_ms = milliseconds(from.grace),
          .refresh_ahead_permille = from.refresh_ahead_permille.value_or(protocol::as_configured),
          .failure_ttl_ms = milliseconds(from.failure_ttl)};
}

// `from` says everything.
engine::SessionSettings session_settings(const service::SessionSettings& from) {
  return {.idle_ttl = from.idle_ttl.value(),
          .absolute_ttl = from.absolute_ttl.value(),
          .bytes_max = from.bytes_max.value(),
          .entries_max = from.entries_max.value(),
          .sessions_max = from.sessions_max.value()};
}

engine::AccessRule access_rule(const service::Access& from) {
  engine::AccessRule to{.restricted = from.restricted()};
  for (const auto& [ids, into] : {std::pair(&from.uids, &to.uids), std::pair(&from.gids, &to.gids)})
    if (*ids) into->insert((*ids)->begin(), (*ids)->end());
  for (const auto& [names, into] : {std::pair(&from.users, &to.uids), std::pair(&from.groups, &to.gids)}) {
    if (!*names) continue;
    for (const service::AllowedName& one : **names) into->insert(one.id);
  }
  return to;
}

net::NamespaceSettings namespace_settings(const service::Configuration& of_all, const service::Budget& budget, const service::NamespaceRules& rules) {
  net::NamespaceSettings to{.memory_bytes = budget.memory_bytes, .blob_bytes_max = budget.blob_bytes, .access = access_rule(rules.access)};
  const service::EffectiveSettings settings = service::settings_in(of_all, rules);
  to.sessions = session_settings(settings.sessions);
  to.retention.emplace().all = retention_defaults(settings.retention);
  for (const auto& [function, own] : settings.functions) {
    to.retention->functions[function] = retention_defaults(own.retention);
    if (own.max_concurrent.value_or(0) != 0) to.max_concurrent[function] = *own.max_concurrent;
    if (own.bytes_max.value_or(0) != 0) to.function_bytes_max[function] = *own.bytes_max;
  }
  return to;
}

// `descriptors`: how many may be open.
net::HostSettings host_settings(const service::Configuration& from, std::uint64_t epoch, std::uint64_t descriptors) {
  net::HostSettings to;
  to.engine.epoch = epoch;
  to.engine.daemon_version = ONCED_VERSION;
  to.engine.daemon_pid = static_cast<std::uint32_t>(::getpid());
  to.engine.lease_limit_default = from.lease_limit_default;
  to.engine.take_up_deadline = from.take_up_deadline;
  to.engine.holder_deaths_max = static_cast<int>(from.holder_deaths_max);
  to.engine.holder_deaths_memory = from.holder_deaths_memory;
  to.engine.requests_in_flight_per_connection_max = from.requests_in_flight_per_connection_max;
  to.engine.blobs_reserved_per_connection_max = from.blobs_reserved_per_connection_max;
  to.engine.reserved_bytes_per_connection_max = from.reserved_bytes_per_connection_max;
  to.engine.reserved_bytes_per_uid_max = from.reserved_bytes_per_uid_max;
  to.engine.pinned_bytes_per_connection_max = from.pinned_bytes_per_connection_max;
  to.engine.invalidations_per_connection_max = from.invalidations_per_connection_max;
  to.engine.invalidations_max = from.invalidations_max;
  to.engine.waiters_per_key_max = from.waiters_per_key_max;
  to.engine.under_way_bytes_per_connection_max = from.under_way_bytes_per_connection_max;
  to.engine.under_way_bytes_max = from.under_way_bytes_max;
  to.engine.subscriptions_per_connection_max = from.subscriptions_per_connection_max;
  to.engine.subscriptions_max = from.subscriptions_max;
  to.engine.signals_queued_per_subscription_max = from.signals_queued_per_subscription_max;
  to.engine.signal_history = from.signal_history;
  to.engine.dependency_edges_max = from.dependency_edges_max;
  to.engine.dependency_key_bytes_max = from.dependency_key_bytes_max;
  to.engine.part_bytes_max = from.part_bytes_max;
  to.engine.stored_value_bytes_max = from.stored_value_bytes_max;
  to.namespaces["default"] = namespace_settings(from, {from.memory_bytes, from.blob_bytes}, from.default_rules);
  for (const auto& [name, space] : from.namespaces) to.namespaces[name] = namespace_settings(from, space.budget, space.rules);
  for (auto& [name, share] : service::disk_shares(from)) {
    to.namespaces[name].disk_directory = share.directory;
    to.namespaces[name].disk_bytes_max = share.bytes;
    to.namespaces[name].disk_map_files = share.map_files;
  }
  to.blobs_per_namespace_max = blobs_per_namespace(from, descriptors);
  to.admission = {from.connections_max, from.connections_per_uid_max};
  to.send_queue_bytes_max = from.send_queue_bytes_max;
  to.hello_deadline = from.hello_deadline;
  to.drain_deadline = from.drain_deadline;
  return to;
}

service::Level level_of(net::LogLevel level) {
  switch (level) {
    case net::LogLevel::debug: return service::Level::debug;
    case net::LogLevel::info: return service::Level::info;
    case net::LogLevel::warning: return service::Level::warning;
    case net::LogLevel::error: return service::Level::error;
  }
  return service::Level::error;
}

service::Machine machine() { return {.is_root = ::geteuid() == 0, .memory_bytes = memory::memory_available_bytes()}; }

Result<void> check_budget(const service::Configuration& configuration) {
  const service::Budget budget = service::whole_budget(configuration);
  return memory::check_memory_cgroup(budget.memory_bytes, budget.blob_bytes);
}

// The directory of all stores. Those in it that are of nobody here are told, for they take room.
Result<void> prepare_disk(const service::Configuration& configuration, service::Log& log) {
  std::vector<std::string> namespaces;
  const auto shares = service::disk_shares(configuration);
  for (const auto& [name, share] : shares) namespaces.push_back(name);
  if (namespaces.empty()) return {};
  const auto others = service::prepare_disk_directory(configuration.disk_path, namespaces, tiers::may_be_store);
  if (!others) return others.error();
  if (const auto warning = service::disk_size_warning(configuration.disk_path, shares)) log.write(service::Level::warning, *warning);
  for (const std::string& other : *others) {
    log.write(service::Level::warning, "on disk, in " + configuration.disk_path + ": \"" + other +
                                           "\" is of no namespace that keeps values there; it stays as it is and takes room: remove it if no other daemon uses it and "
                                           "nobody needs it any more");
  }
  return {};
}

void tell_disks(const net::Host& host, service::Log& log) {
  for (const net::Host::DiskUse& disk : host.disks()) {
    log.write(service::Level::info, "on disk, namespace \"" + disk.name + "\": " + disk.directory + ", " + std::to_string(disk.usage.values) + " values, " +
                                        std::to_string(disk.usage.used_bytes >> 20) + " MiB of " + service::print_size(disk.usage.budget_bytes) + " used");
  }
}

// SIGHUP: what can change does; a configuration with a mistake changes nothing.
class Reloader {
 public:
  Reloader(service::Overrides overrides, service::Environment environment, service::Configuration& configuration,
           std::uint64_t epoch, std::uint64_t descriptors, service::Log& log, net::Host& host,
           const service::Notifier& notifier)
      : overrides_(std::move(overrides)), environment_(std::move(environment)), configuration_(configuration), epoch_(epoch),
        descriptors_(descriptors), log_(log), host_(host), notifier_(notifier) {}

  void operator()() {
    notifier_.reloading();
    if (auto reopened = log_.reopen(); !reopened) log_.write(service::Level::error, reopened.error().text);
    if (auto taken = take_over(); !taken) {
      log_.write(service::Level::error, "not reloaded, nothing has changed: " + taken.error().text);
    } else {
      log_.write(service::Level::info, "reloaded the configuration");
    }
    notifier_.ready("serving");
  }

 private:
  Result<void> take_over() {
    const auto loaded = service::load_configuration(overrides_, environment_, machine());
    if (!loaded) return loaded.error();
    const service::Configuration after = service::reloaded(configuration_, loaded->values);
    if (auto allowed = check_budget(after); !allowed) return allowed;
    const auto changes = service::differences(configuration_, loaded->values);
    if (auto taken = host_.reconfigure(host_settings(after, epoch_, descriptors_)); !taken) return taken;
    configuration_ = after;
    for (const auto& warning : loaded->warnings) log_.write(service::Level::warning, warning);
    log_.set_level(configuration_.log_level);
    for (const auto& change : changes.reloaded) log_.write(service::Level::info, "changed " + change);
    for (const auto& change : changes.need_restart) log_.write(service::Level::warning, "needs a restart: " + change);
    return {};
  }

  service::Overrides overrides_;
  service::Environment environment_;
  service::Configuration& configuration_;
  std::uint64_t epoch_;
  std::uint64_t descriptors_;
  service::Log& log_;
  net::Host& host_;
  const service::Notifier& notifier_;
};

int serve(const service::CommandLine& command, const service::Environment& environment,
          service::LoadedConfiguration& loaded) {
  service::Configuration& configuration = loaded.values;
  const std::uint64_t descriptors = service::prepare_process();
  std::uint64_t epoch = 0;
  if (::getrandom(&epoch, sizeof(epoch), 0) != sizeof(epoch)) return fail(status_failed, "the kernel gives no random numbers");
  epoch |= 1;  // 0 means none on the wire

  auto opened_log = service::Log::open(configuration.log_file, configuration.log_format, configuration.log_level);
  if (!opened_log) return fail(status_failed, opened_log.error().text);
  service::Log& log = **opened_log;
  for (const auto& warning : loaded.warnings) log.write(service::Level::warning, warning);
  const std::uint64_t wanted = descriptors_wanted(configuration);
  if (wanted > descriptors) {
    const std::string what = configuration.disk_path.empty() ? "limits.connections_max needs " : "limits.connections_max and disk.size need ";
    log.write(service::Level::warning, what + std::to_string(wanted) + " open files, the limit is " +
                                           std::to_string(descriptors) + "; raise LimitNOFILE");
  }

  const service::Notifier notifier(environment);
  auto claim = net::SocketClaim::take({configuration.socket, configuration.socket_mode, configuration.directory_mode});
  if (!claim) return fail(status_failed, claim.error().text);

  boost::asio::io_context context(1);
  net::Host host(context, host_settings(configuration, epoch, descriptors),
                 [&log](net::LogLevel level, std::string_view text) { log.write(level_of(level), text); });
  if (auto allowed = check_budget(configuration); !allowed) return fail(status_failed, allowed.error().text);
  if (auto prepared = prepare_disk(configuration, log); !prepared) return fail(status_failed, prepared.error().text);
  if (auto opened = host.open_namespaces(); !opened) return fail(status_failed, opened.error().text);
  tell_disks(host, log);
  if (auto listening = claim->listen(); !listening) return fail(status_failed, listening.error().text);
  if (auto serving = host.serve(claim->socket()); !serving) return fail(status_failed, serving.error().text);

  const auto drain = [&] {
    log.write(service::Level::info, "draining");
    host.drain([&context] { context.stop(); });
    claim->stop_listening();
  };
  const service::Lifecycle lifecycle(
      context, notifier,
      {Reloader(command.overrides, environment, configuration, epoch, descriptors, log, host, notifier), drain});

  const service::Budget budget = service::whole_budget(configuration);
  log.write(service::Level::info, "onced " ONCED_VERSION " ready: socket " + claim->path().string() + ", memory " +
                                      service::print_size(budget.memory_bytes) + ", blobs " +
                                      service::print_size(budget.blob_bytes) + ", epoch " + std::to_string(epoch));
  notifier.ready("serving " + claim->path().string());
  context.run();
  host.end();
  log.write(service::Level::info, "ended");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto parsed = service::parse_command_line(argc, argv, ONCED_VERSION);
  if (!parsed.command) {
    std::fputs(parsed.end.out.c_str(), stdout);
    std::fputs(parsed.end.error.c_str(), stderr);
    return parsed.end.status;
  }
  const auto environment = service::process_environment();
  auto loaded = service::load_configuration(parsed.command->overrides, environment, machine());
  if (!loaded) return fail(status_usage, loaded.error().text);
  switch (parsed.command->action) {
    case service::Action::serve:
      return serve(*parsed.command, environment, *loaded);
    case service::Action::check_configuration:
      for (const auto& warning : loaded->warnings) std::fprintf(stderr, "onced: %s\n", warning.c_str());
      std::puts("the configuration is right");
      return 0;
    case service::Action::print_configuration:
      std::fputs(service::print_configuration(*loaded).c_str(), stdout);
      return 0;
  }
}
