#include "net/host.hpp"

#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace onced::net {

Host::Host(boost::asio::io_context& context, HostSettings settings, LogFunction log)
    : context_(context),
      settings_(std::move(settings)),
      log_(std::move(log)),
      foreign_closer_(settings_.foreign_closer),
      closer_({.foreign = &foreign_closer_}),
      memory_closer_({.waiting_max = std::numeric_limits<std::size_t>::max(),  // as many as there were blobs
                      .close = settings_.memory_closer.close}),
      alarm_(context, std::chrono::steady_clock::now(), [this] { ring(); }),
      listener_(
          context, closer_, [this](memory::FileDescriptor socket) { accepted(std::move(socket)); },
          [this](LogLevel level, std::string_view text) { log_client(level, "the socket", std::string(text)); }),
      own_uid_(::geteuid()),
      admission_(settings_.admission) {}

Host::~Host() { end(); }

Result<void> Host::serve(int listening_socket) {
  begin_turn();
  auto started = listener_.start(listening_socket);
  finish_turn();
  return started;
}

void Host::drain(std::function<void()> finished) {
  if (drained_) return;
  begin_turn();
  listener_.stop();
  drained_ = std::move(finished);
  drain_until_ = alarm_.now() + settings_.drain_deadline;
  std::vector<Id> unknown;
  for (const auto& [id, connection] : connections_) {
    if (connection->state == Connection::State::greeting) unknown.push_back(id);
  }
  for (const Id id : unknown) end_connection(*find(id), Error{ErrorCode::unavailable, "the daemon is shutting down"});
  for (auto& [name, host] : namespaces_) host->apply(engine::Draining{}, alarm_.now());
  finish_turn();
}

void Host::check_drained() {
  if (!drained_) return;
  const bool all_sent = std::all_of(connections_.begin(), connections_.end(),
                                    [](const auto& entry) { return entry.second->out.empty(); });
  if (!all_sent && alarm_.now() < drain_until_) {
    alarm_.wish(drain_until_);
    return;
  }
  if (!all_sent) log_(LogLevel::warning, "some clients have not read their last answers in time");
  // Called once; and what it does may end this object's work.
  std::exchange(drained_, nullptr)();
}

void Host::end() {
  listener_.stop();
  alarm_.stop();
  for (auto& [name, host] : namespaces_) host->end_life();
  for (auto& [id, connection] : connections_) {
    if (connection->page) connection->home->leave(id);
    connection->close(closer_);
  }
  connections_.clear();
  deadlines_.clear();
  for (auto& [name, disk] : disks_) disk->stop(disk_patience);
}

// ---- effects --------------------------------------------------------------------------------------------------------

void Host::send(Id id, protocol::RequestId request, const protocol::Reply& reply, Descriptors with) {
  Connection* connection = find(id);
  if (connection == nullptr || connection->state != Connection::State::open || connection->leaving) return;
  const std::size_t bytes_max = settings_.send_queue_bytes_max * limits::send_queue_hard_factor;
  if (connection->out.bytes() > bytes_max) return;  // it is ended with this turn: more would only cost memory
  if (const auto* statistics = std::get_if<protocol::Statistics>(&reply)) {
    // Of the asker's own user: what others have is theirs to know.
    protocol::Statistics all = *statistics;
    all.fields.emplace_back("connections_per_uid_most", std::uint64_t{admission_.connections_of(connection->peer.uid)});
    all.fields.emplace_back("connections_per_uid_max", std::uint64_t{admission_.settings().connections_per_uid_max});
    all.fields.emplace_back("connections_per_uid_refused", admission_.refused_of(connection->peer.uid));
    const NamespaceHost::Turns& turns = connection->home->turns();
    all.fields.emplace_back("turn_requests_most", std::uint64_t{turns.requests_most});
    all.fields.emplace_back("turn_requests_max", std::uint64_t{limits::requests_per_turn_max});
    all.fields.emplace_back("turn_receives_most", std::uint64_t{turns.receives_most});
    all.fields.emplace_back("turn_receives_max", std::uint64_t{limits::receives_per_turn_max});
    all.fields.emplace_back("turns_used_up", turns.used_up);
    connection->out.push(request, protocol::Reply(std::move(all)), std::move(with));
  } else {
    connection->out.push(request, reply, std::move(with));
  }
  want_flush(*connection);
  if (connection->out.bytes() > bytes_max) to_end_.push_back(id);
}

void Host::close(Id id, const std::string& text) {
  Connection* connection = find(id);
  if (connection == nullptr || connection->state != Connection::State::open) return;
  // The engine is in the middle of a step: it is told of the end when that is done.
  connection->ending_text = text;
  to_end_.push_back(id);
}

void Host::note(LogLevel level, const std::string& text, std::optional<Id> whose, const std::string& name_space) {
  const Connection* const connection = whose ? find(*whose) : nullptr;
  if (connection != nullptr) return log_client(level, connection->peer.uid, text);
  log_client(level, "the namespace \"" + name_space + "\"", text);
}

void Host::log_client(LogLevel level, const std::string& who, const std::string& text) {
  const LogBudget::Verdict verdict = log_budget_.ask(who, alarm_.now());
  if (!verdict.write) return;
  if (!verdict.left_out.empty()) {
    log_(LogLevel::warning, "lines about clients were left out here: " + verdict.left_out + "; each may cause " +
                                std::to_string(LogBudget::lines_per_second_max) + " in a second");
  }
  log_(level, text);
}

// ---- the turn -------------------------------------------------------------------------------------------------------

void Host::finish_turn() {
  // Sending can free a subscription that was too slow, whose answer is to be sent in turn. It ends: what a flush frees
  // was waiting for exactly that flush, and each round sends before it looks again. Forgetting a connection ends its
  // leases: the next holder's answer goes out in this turn too, for nothing may happen that would begin another.
  while (!to_flush_.empty() || !to_end_.empty() || !to_forget_.empty()) {
    // The lists keep their memory, and may grow while they are gone through.
    for (std::size_t i = 0; i < to_end_.size(); ++i) {
      Connection* connection = find(to_end_[i]);
      if (connection == nullptr || connection->state != Connection::State::open) continue;
      if (connection->ending_text.empty()) drop_overflowing(*connection);
      else end_connection(*connection, Error{ErrorCode::malformed, connection->ending_text});
    }
    to_end_.clear();
    for (std::size_t i = 0; i < to_flush_.size(); ++i) {
      Connection* connection = find(to_flush_[i]);
      if (connection == nullptr) continue;
      connection->flush_wanted = false;
      flush(*connection);
    }
    to_flush_.clear();
    for (std::size_t i = 0; i < to_forget_.size(); ++i) {
      if (Connection* connection = find(to_forget_[i])) forget(*connection);
    }
    to_forget_.clear();
  }
  begin_waits();
  for (const auto& [name, host] : namespaces_) {
    if (const auto due = host->next_deadline()) alarm_.wish(*due);
  }
  if (read_held_back_at_) alarm_.wish(*read_held_back_at_);
  if (!deadlines_.empty()) alarm_.wish(deadlines_.begin()->first);
  measure_turn();
  check_drained();
}

// Costs two clock readings a turn, beside at least two system calls.
void Host::measure_turn() {
  turn_ended_ = alarm_.now();
  note_turn(turn_began_);
}

void Host::note_turn(engine::Time began) {
  for (const auto& [name, host] : namespaces_) host->turn_took(turn_ended_ - began, turn_ended_);
}

void Host::ring() {
  begin_turn();
  const engine::Time now = turn_began_;
  for (const auto& [name, host] : namespaces_) {
    if (const auto due = host->next_deadline(); due && *due <= now) host->apply(engine::Ticked{}, now);
  }
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    Connection* connection = find(deadlines_.begin()->second);
    clear_deadline(*connection);
    if (connection->state == Connection::State::greeting) {
      end_connection(*connection, Error{ErrorCode::timed_out, "no complete HELLO within " +
                                                                  std::to_string(settings_.hello_deadline / std::chrono::milliseconds(1)) +
                                                                  " ms"});
    } else if (connection->state == Connection::State::ending) {
      cut(*connection);
    }
  }
  if (read_held_back_at_ && *read_held_back_at_ <= now) read_held_back();
  finish_turn();
}

void Host::report_departures(Connection& connection) {
  departures_.clear();
  connection.out.take_departures(departures_);
  if (!connection.engine_knows) return;
  for (const auto& [subscription, count] : departures_) {
    connection.home->apply(engine::SignalsSent{connection.id(), subscription, count}, alarm_.now());
  }
}

// ---- small things ---------------------------------------------------------------------------------------------------

Connection* Host::find(Id id) {
  const auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second.get();
}

bool Host::throttled(const Connection& connection) const {
  return connection.out.bytes() > settings_.send_queue_bytes_max;
}

void Host::want_flush(Connection& connection) {
  if (connection.flush_wanted) return;
  connection.flush_wanted = true;
  to_flush_.push_back(connection.id());
}

void Host::set_deadline(Connection& connection, engine::Time when) {
  clear_deadline(connection);
  connection.deadline = deadlines_.emplace(when, connection.id());
}

void Host::clear_deadline(Connection& connection) {
  if (connection.deadline) deadlines_.erase(*connection.deadline);
  connection.deadline.reset();
}

}  // namespace onced::net
