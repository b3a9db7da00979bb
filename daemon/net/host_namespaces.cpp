// Which namespaces there are, who may use them, and how they come and go.
#include <fcntl.h>
#include <sys/random.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <boost/asio/post.hpp>

#include "net/host.hpp"

namespace onced::net {

namespace {

// Of a namespace's disk, what one turn takes over: each is a value that is placed in memory, or an answer.
constexpr std::size_t disk_events_per_turn_max = 16;

}  // namespace

Result<void> Host::open_namespaces() {
  for (const auto& [name, own] : settings_.namespaces) {
    if (auto opened = open_disk(name, own); !opened) return opened;
    auto host = make_namespace(settings_, name, settings_.engine.epoch);
    if (!host) return host.error();
    namespaces_[name] = std::move(*host);
    namespaces_[name]->take_disk(alarm_.now());
  }
  return {};
}

Result<void> Host::open_disk(const std::string& name, const NamespaceSettings& own) {
  if (own.disk_directory.empty()) return {};
  tiers::DiskOptions options = settings_.disk;
  options.directory = own.disk_directory;
  options.budget_bytes = own.disk_bytes_max;
  options.map_files = own.disk_map_files;
  options.say = [log = log_from_any_thread()](const std::string& text) { log(LogLevel::warning, text); };
  auto opened = tiers::NamespaceDisk::open(std::move(options), ring_for_disks());
  if (!opened) return Error{opened.error().code, "the disk of the namespace \"" + name + "\": " + opened.error().text};
  note_audience(name, **opened, own.access);
  disks_[name] = std::move(*opened);
  return {};
}

// What is there may be of somebody who may not use the namespace any more; as after a reload it begins anew then.
void Host::note_audience(const std::string& name, tiers::NamespaceDisk& disk, const engine::AccessRule& rule) {
  const std::optional<engine::AccessRule> before = disk.audience_before();
  if (before == rule) return;
  if (before && engine::is_narrower(rule, *before)) {
    log_(LogLevel::warning, "the namespace \"" + name + "\" begins anew, empty: fewer may use it than may have written what is on its disk");
    clear_disk(name, disk);
  }
  disk.keep_audience(rule);
}

std::vector<Host::DiskUse> Host::disks() const {
  std::vector<DiskUse> uses;
  for (const auto& [name, disk] : disks_) uses.push_back({name, disk->directory(), disk->usage()});
  return uses;
}

void Host::on_disk_events() {
  begin_turn();
  bool more = false;
  for (const auto& [name, disk] : disks_) {
    for (engine::Event& event : disk->take(disk_events_per_turn_max)) {
      const auto host = namespaces_.find(name);
      if (host != namespaces_.end()) host->second->apply(std::move(event), alarm_.now());
    }
    more = more || disk->has_more();
  }
  finish_turn();
  if (more) ring_for_disks()();  // behind what else has happened meanwhile
}

// To be called by any thread: the loop looks when it comes to it.
std::function<void()> Host::ring_for_disks() {
  return [&context = context_, self = std::weak_ptr<Host*>(self_)] {
    boost::asio::post(context, [self] {
      if (const auto alive = self.lock()) (*alive)->on_disk_events();
    });
  };
}

// The same for what is to be logged. Nothing is when a thread that hung in the disk says it after the daemon's end, which the context need not outlive.
std::function<void(LogLevel, std::string)> Host::log_from_any_thread() {
  return [&context = context_, self = std::weak_ptr<Host*>(self_)](LogLevel level, std::string text) {
    if (self.expired()) return;
    boost::asio::post(context, [self, level, text = std::move(text)] {
      if (const auto alive = self.lock()) (*alive)->log_(level, text);
    });
  };
}

// For a namespace that begins anew: what it had in memory is gone, too.
void Host::clear_disk(const std::string& name, tiers::NamespaceDisk& disk) {
  disk.clear([name, log = log_from_any_thread()](bool durable) {
    if (durable) return log(LogLevel::info, "on disk, namespace \"" + name + "\": cleared; nothing of before comes back");
    log(LogLevel::warning, "on disk, namespace \"" + name + "\": it could not be cleared. Nothing of before is found by this daemon, but it is there until the disk "
                           "works again; if the daemon ends before that, the next one clears it if fewer may use the namespace than did when it was written");
  });
}

engine::Settings Host::engine_settings(const HostSettings& from, const std::string& name) const {
  engine::Settings settings = from.engine;
  if (const auto own = from.namespaces.find(name); own != from.namespaces.end()) {
    settings.blob_bytes_max = own->second.blob_bytes_max;
    if (own->second.retention) settings.retention = *own->second.retention;
    settings.max_concurrent = own->second.max_concurrent;
    settings.function_bytes_max = own->second.function_bytes_max;
    if (own->second.sessions) settings.sessions = *own->second.sessions;
  }
  return settings;
}

Result<std::unique_ptr<NamespaceHost>> Host::make_namespace(const HostSettings& from, const std::string& name, std::uint64_t epoch) {
  memory::BlobOptions blobs;
  blobs.count_max = from.blobs_per_namespace_max;
  blobs.close_later = [this](memory::FileDescriptor last, std::function<void()> closed) {
    memory_closer_.give(last.release(), Closer::Kind::own, Closer::nobody, std::move(closed));
  };
  engine::Settings settings = engine_settings(from, name);
  settings.epoch = epoch;
  const auto disk = disks_.find(name);
  return NamespaceHost::create(name, from.namespaces.at(name).memory_bytes, std::move(blobs), settings,
                               disk == disks_.end() ? nullptr : disk->second.get(), *this);
}

NamespaceHost* Host::home_of(Connection& connection, const std::string& name) {
  // Whatever is asked for, the same is looked at before anything is decided: how long it takes says nothing.
  engine::Identity who{connection.peer.uid, connection.peer.gid};
  for (const gid_t group : settings_.peers.further_groups(connection.socket())) who.further_gids.push_back(group);
  const auto host = namespaces_.find(name);
  if (host == namespaces_.end()) return nullptr;
  if (engine::may_use(settings_.namespaces.at(name).access, who, own_uid_)) return host->second.get();
  log_client(LogLevel::warning, who.uid, "the namespace \"" + name + "\" is not for uid " + std::to_string(who.uid) + ", gid " +
                                    std::to_string(who.gid) + ", " + describe(connection.peer, {}));
  return nullptr;
}

Result<void> Host::reconfigure(HostSettings settings) {
  begin_turn();
  // What may fail first: then nothing has changed.
  std::map<std::string, std::unique_ptr<NamespaceHost>, std::less<>> made;
  for (const auto& [name, own] : settings.namespaces) {
    const auto before = settings_.namespaces.find(name);
    if (before != settings_.namespaces.end() && !engine::is_narrower(own.access, before->second.access)) continue;
    std::uint64_t epoch = 0;
    if (::getrandom(&epoch, sizeof(epoch), 0) != sizeof(epoch)) return Error{ErrorCode::internal, "the kernel gives no random numbers"};
    auto host = make_namespace(settings, name, epoch | 1);  // 0 means none on the wire
    if (!host) return Error{host.error().code, "namespace \"" + name + "\": " + host.error().text};
    made[name] = std::move(*host);
  }
  std::vector<std::pair<std::unique_ptr<NamespaceHost>, std::string>> ending;
  for (auto& [name, host] : namespaces_) {
    if (!settings.namespaces.contains(name)) ending.emplace_back(std::move(host), "the namespace \"" + name + "\" is gone from the daemon's configuration");
    else if (made.contains(name)) ending.emplace_back(std::move(host), "the namespace \"" + name + "\" begins anew, empty: fewer may use it than before; ask again");
  }
  std::erase_if(namespaces_, [](const auto& entry) { return entry.second == nullptr; });
  std::vector<NamespaceHost*> begun;
  for (const auto& [name, host] : made) begun.push_back(host.get());
  namespaces_.merge(made);

  const auto before = std::exchange(settings_, std::move(settings)).namespaces;
  admission_.reconfigure(settings_.admission);
  for (auto& [name, host] : namespaces_) host->reconfigure(engine_settings(settings_, name), settings_.blobs_per_namespace_max);
  for (auto& [host, why] : ending) {
    log_(LogLevel::info, why);
    retire(std::move(host), why);
  }
  for (NamespaceHost* const host : begun) {
    if (const auto disk = disks_.find(host->name()); disk != disks_.end()) clear_disk(host->name(), *disk->second);
    else if (!settings_.namespaces.at(host->name()).disk_directory.empty())
      log_(LogLevel::warning, "the namespace \"" + host->name() + "\" keeps its values in memory only until the daemon starts again: a reload opens no disk");
    host->take_disk(alarm_.now());
  }
  for (const auto& [name, own] : settings_.namespaces) {  // behind the clearing, and before whoever is let in puts anything
    const auto same = before.find(name);
    const auto disk = disks_.find(name);
    if (disk != disks_.end() && (same == before.end() || same->second.access != own.access)) disk->second->keep_audience(own.access);
  }
  finish_turn();
  return {};
}

void Host::retire(std::unique_ptr<NamespaceHost> host, const std::string& why) {
  host->apply(engine::Draining{why}, alarm_.now());
  host->end_life();  // no reader has a hit from here on
  std::vector<Id> members;
  for (const auto& [id, connection] : connections_) {
    if (connection->home == host.get()) members.push_back(id);
  }
  for (const Id id : members) {
    Connection& connection = *find(id);
    // Its memory is never used again: nobody needs its pins.
    if (connection.page) host->leave(id);
    const bool was_waiting_for_its_end = connection.state == Connection::State::ended;
    if (connection.out.borrows()) connection.out.clear();  // a Welcome that nobody has read: its descriptors go now
    connection.page.reset();
    end_connection(connection, Error{ErrorCode::unavailable, why});
    if (was_waiting_for_its_end) to_forget_.push_back(id);
    ONCED_ASSERT(!connection.engine_knows);
    connection.home = nullptr;
  }
  // The last reference to a large segment takes long to close, and to unmap. Without a descriptor it is done here.
  const auto segment = std::make_shared<std::optional<memory::SealedMemory>>(NamespaceHost::end(std::move(host)));
  const int last = ::fcntl((*segment)->descriptor(), F_DUPFD_CLOEXEC, 0);
  if (last >= 0) memory_closer_.give(last, Closer::Kind::own, Closer::nobody, [segment] { segment->reset(); });
}

}  // namespace onced::net
