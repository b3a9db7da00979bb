// Builds the parts of the daemon in order, and hands each what it needs. Decisions are elsewhere.
#include <sys/random.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <numeric>
#include <string>

#include <boost/asio/io_context.hpp>

#include "memory/memory_cgroup.hpp"
#include "net/host.hpp"
#include "net/socket_claim.hpp"
#include "service/command_line.hpp"
#include "service/configuration.hpp"
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

net::HostSettings host_settings(const service::Configuration& from, std::uint64_t epoch) {
  net::HostSettings to;
  to.engine.epoch = epoch;
  to.engine.daemon_version = ONCED_VERSION;
  to.engine.daemon_pid = static_cast<std::uint32_t>(::getpid());
  to.engine.lease_limit_default = from.lease_limit_default;
  to.engine.take_up_deadline = from.take_up_deadline;
  to.engine.failure_ttl_default = from.failure_ttl_default;
  to.engine.holder_deaths_max = static_cast<int>(from.holder_deaths_max);
  to.engine.holder_deaths_memory = from.holder_deaths_memory;
  to.engine.waiters_per_key_max = from.waiters_per_key_max;
  to.engine.under_way_bytes_per_connection_max = from.under_way_bytes_per_connection_max;
  to.engine.under_way_bytes_max = from.under_way_bytes_max;
  to.engine.subscriptions_per_connection_max = from.subscriptions_per_connection_max;
  to.engine.subscriptions_max = from.subscriptions_max;
  to.engine.signals_queued_per_subscription_max = from.signals_queued_per_subscription_max;
  to.engine.signal_history = from.signal_history;
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

std::uint64_t all_memory(const service::Configuration& configuration) {
  return std::accumulate(configuration.namespaces.begin(), configuration.namespaces.end(), configuration.memory_bytes,
                         [](std::uint64_t sum, const auto& entry) { return sum + entry.second; });
}

Result<void> add_namespaces(net::Host& host, const service::Configuration& configuration) {
  if (auto allowed = memory::check_memory_cgroup(all_memory(configuration)); !allowed) return allowed;
  if (auto added = host.add_namespace("default", configuration.memory_bytes); !added) return added;
  for (const auto& [name, bytes] : configuration.namespaces) {
    if (auto added = host.add_namespace(name, bytes); !added) return added;
  }
  return {};
}

// SIGHUP: what can change does; a configuration with a mistake changes nothing.
class Reloader {
 public:
  Reloader(service::Overrides overrides, service::Environment environment, service::Configuration& configuration,
           std::uint64_t epoch, service::Log& log, net::Host& host, const service::Notifier& notifier)
      : overrides_(std::move(overrides)), environment_(std::move(environment)), configuration_(configuration), epoch_(epoch),
        log_(log), host_(host), notifier_(notifier) {}

  void operator()() {
    notifier_.reloading();
    if (auto reopened = log_.reopen(); !reopened) log_.write(service::Level::error, reopened.error().text);
    const auto loaded = service::load_configuration(overrides_, environment_, ::geteuid() == 0);
    if (!loaded) {
      log_.write(service::Level::error, "not reloaded, nothing has changed: " + loaded.error().text);
    } else {
      const auto changes = service::differences(configuration_, loaded->values);
      configuration_ = service::reloaded(configuration_, loaded->values);
      log_.set_level(configuration_.log_level);
      host_.reconfigure(host_settings(configuration_, epoch_));
      for (const auto& change : changes.reloaded) log_.write(service::Level::info, "changed " + change);
      for (const auto& change : changes.need_restart) log_.write(service::Level::warning, "needs a restart: " + change);
      log_.write(service::Level::info, "reloaded the configuration");
    }
    notifier_.ready("serving");
  }

 private:
  service::Overrides overrides_;
  service::Environment environment_;
  service::Configuration& configuration_;
  std::uint64_t epoch_;
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
  if (const std::uint64_t wanted = net::descriptors_wanted(configuration.connections_max); wanted > descriptors) {
    log.write(service::Level::warning, "limits.connections_max needs " + std::to_string(wanted) + " open files, the limit is " +
                                           std::to_string(descriptors) + "; raise LimitNOFILE");
  }

  const service::Notifier notifier(environment);
  auto claim = net::SocketClaim::take({configuration.socket, configuration.socket_mode, configuration.directory_mode});
  if (!claim) return fail(status_failed, claim.error().text);

  boost::asio::io_context context(1);
  net::Host host(context, host_settings(configuration, epoch),
                 [&log](net::LogLevel level, std::string_view text) { log.write(level_of(level), text); });
  if (auto added = add_namespaces(host, configuration); !added) return fail(status_failed, added.error().text);
  if (auto listening = claim->listen(); !listening) return fail(status_failed, listening.error().text);
  if (auto serving = host.serve(claim->socket()); !serving) return fail(status_failed, serving.error().text);

  const auto drain = [&] {
    log.write(service::Level::info, "draining");
    host.drain([&context] { context.stop(); });
    claim->stop_listening();
  };
  const service::Lifecycle lifecycle(
      context, notifier,
      {Reloader(command.overrides, environment, configuration, epoch, log, host, notifier), drain});

  log.write(service::Level::info, "onced " ONCED_VERSION " ready: socket " + claim->path().string() + ", memory " +
                                      service::print_size(all_memory(configuration)) + ", epoch " + std::to_string(epoch));
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
  auto loaded = service::load_configuration(parsed.command->overrides, environment, ::geteuid() == 0);
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
