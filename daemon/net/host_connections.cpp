// A connection's life: accepted, greeted, served, ended, forgotten.
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include <boost/asio/post.hpp>

#include "net/host.hpp"
#include "net/session_secret.hpp"

namespace onced::net {
namespace {

constexpr auto stream_read = boost::asio::posix::stream_descriptor::wait_read;
constexpr auto stream_write = boost::asio::posix::stream_descriptor::wait_write;
constexpr auto stream_error = boost::asio::posix::stream_descriptor::wait_error;

// How often those are looked at whose users' descriptors are still being closed.
constexpr auto held_back_period = std::chrono::milliseconds(20);

Result<void> check_hello(const protocol::Hello& hello) {
  if (hello.magic != "onced") return Error{ErrorCode::malformed, "the first message is no HELLO of onced"};
  if (hello.protocol_version != limits::protocol_version) {
    return Error{ErrorCode::version_mismatch,
                 "this daemon speaks protocol version " + std::to_string(limits::protocol_version) + ", the client " +
                     std::to_string(hello.protocol_version) + "; install the same version of both"};
  }
  return {};
}

}  // namespace

// ---- beginning ------------------------------------------------------------------------------------------------------

void Host::accepted(memory::FileDescriptor socket) {
  begin_turn();
  const auto refuse = [&](const Error& error, const std::string& who = "unknown clients") {
    log_client(LogLevel::warning, who, "refused a connection: " + error.text);
    send_refusal(socket.get(), error);
    closer_.give(socket.release(), Closer::Kind::connection);
  };
  Result<Peer> peer = settings_.peers.identify(socket.get());
  if (!peer) return refuse(peer.error());
  const std::uint32_t uid = peer->uid;
  const std::string who = "uid " + std::to_string(uid);
  if (auto allowed = check_peer(*peer); !allowed) return refuse(allowed.error(), who);
  if (auto admitted = admission_.admit(uid); !admitted) return refuse(admitted.error(), who);
  const Id id{++last_id_};
  auto connection = std::make_unique<Connection>(context_, id, std::move(*peer));
  if (auto opened = connection->open(socket); !opened) {
    admission_.leave(uid);
    return refuse(opened.error(), who);
  }
  Connection& added = *connection;
  connections_.emplace(id, std::move(connection));
  set_deadline(added, alarm_.now() + settings_.hello_deadline);
  added.reading = true;
  if (!turns_.ask(uid, id)) return want_round();
  serve(added);  // a client usually has said HELLO by now
}

void Host::handle_hello(Connection& connection, const protocol::Frame& frame) {
  const Result<protocol::Request> request = protocol::decode_request(frame.header.type, frame.payload);
  if (!request) return end_connection(connection, request.error());
  const auto* hello = std::get_if<protocol::Hello>(&*request);
  if (hello == nullptr) {
    return end_connection(connection, Error{ErrorCode::malformed, "the first message of a connection must be HELLO"});
  }
  if (auto checked = check_hello(*hello); !checked) return end_connection(connection, checked.error());
  const std::string name = hello->namespace_name.empty() ? std::string("default") : hello->namespace_name;
  NamespaceHost* const home = home_of(connection, name);
  if (home == nullptr) {
    // The same words whether it exists or not: to a stranger it does not.
    return end_connection(connection, Error{ErrorCode::not_found, "there is no namespace \"" + name + "\" for uid " +
                                                                      std::to_string(connection.peer.uid) + "; [namespaces." + name +
                                                                      "] in the daemon's configuration says which there are, and for whom"});
  }
  if (drained_) return end_connection(connection, Error{ErrorCode::unavailable, "the daemon is shutting down"});

  NamespaceHost& host = *home;
  Descriptors descriptors;
  protocol::Welcome welcome;
  welcome.protocol_version = limits::protocol_version;
  welcome.daemon_version = settings_.engine.daemon_version;
  welcome.epoch = host.epoch();
  welcome.connection = static_cast<std::uint64_t>(connection.id());
  welcome.daemon_pid = settings_.engine.daemon_pid;
  if (hello->wants_mapping) {
    Result<memory::SealedMemory> page = host.enter(connection.id());
    if (!page) return end_connection(connection, Error{ErrorCode::limit_reached, page.error().text});
    connection.page = std::move(*page);
    welcome.segment_bytes = host.segment_bytes();
    welcome.pin_page_bytes = connection.page->bytes().size();
    descriptors = Descriptors::borrowed(host.segment_descriptor(), connection.page->descriptor());
  }
  connection.home = &host;
  connection.state = Connection::State::open;
  clear_deadline(connection);
  connection.frames.raise_limit(limits::frame_payload_bytes_max);
  connection.out.push(frame.header.request_id, protocol::Reply(welcome), std::move(descriptors));
  want_flush(connection);
  connection.engine_knows = true;
  const engine::Process process{connection.peer.uid, static_cast<std::uint32_t>(connection.peer.pid)};
  host.apply(engine::Connected{connection.id(), describe(connection.peer, hello->client_name), process}, alarm_.now());
  watch_process(connection);
}

void Host::watch_process(Connection& connection) {
  connection.adopt_process(context_);
  if (connection.process()) {
    connection.process()->async_wait(stream_read, [this, id = connection.id()](const boost::system::error_code& error) {
      if (!error) on_process_died(id);
    });
  } else if (connection.peer.already_dead) {
    boost::asio::post(context_, [this, id = connection.id()] { on_process_died(id); });
  }
}

// ---- serving --------------------------------------------------------------------------------------------------------

void Host::on_readable(Id id) {
  Connection* connection = find(id);
  if (connection == nullptr) return;
  // It counts as being read while it waits: nobody else begins.
  if (!turns_.ask(connection->peer.uid, id)) return want_round();
  serve(*connection);
}

void Host::serve(Connection& connection) {
  const TurnQueue::User user = connection.peer.uid;
  begin_turn();
  connection.reading = false;
  read(connection);
  finish_turn();
  turns_.used(user, turn_ended_ - turn_began_);
}

void Host::want_round() {
  if (std::exchange(round_wanted_, true)) return;
  boost::asio::post(context_, [this] { serve_round(); });
}

void Host::serve_round() {
  round_wanted_ = false;
  turns_.begin_round();
  const engine::Time began = alarm_.now();
  turn_ended_ = began;
  while (const auto id = turns_.next()) {
    if (Connection* connection = find(*id)) serve(*connection);
  }
  note_turn(began);  // whoever is not in the round waits for all of it
  if (turns_.somebody_waits()) want_round();
}

void Host::read(Connection& connection) {
  if (!read_some(connection)) return resume(connection);
  if (!connection.leaving) return;
  if (connection.process_died && connection.engine_knows) {
    connection.home->apply(engine::ProcessDied{connection.id()}, alarm_.now());
  }
  cut(connection);
}

bool Host::read_some(Connection& connection) {
  connection.turn = {};
  connection.turn_until = turn_began_ + limits::turn_share;  // of all receives together; thousands of small requests fit into one
  const bool all = read_share(connection);
  if (connection.home != nullptr) connection.home->count_turn(connection.turn, !all);
  return all;
}

bool Host::read_share(Connection& connection) {
  using State = Connection::State;
  if (!handle_frames(connection)) return false;  // what a pause has left in the reader
  while (connection.turn.receives < limits::receives_per_turn_max) {
    if (connection.state != State::greeting && connection.state != State::open) return true;
    if (throttled(connection)) return true;  // flush() reads on
    if (connection.leaving && *connection.leaving == 0) return true;
    if (foreign_closer_.overfull(connection.peer.uid)) {
      hold_back(connection);
      return true;
    }
    ++connection.turn.receives;
    Connection::Receipt receipt = connection.receive();
    switch (receipt.received.kind) {
      case Received::Kind::nothing:
        if (!connection.leaving) wait_readable(connection);
        return true;
      case Received::Kind::ended:
        connection.peer_ended = true;
        if (connection.leaving) return true;
        if (!connection.page || hung_up(connection.socket())) cut(connection);
        else end_connection(connection, Error{ErrorCode::malformed, "the client has shut down its sending direction"});
        return true;
      case Received::Kind::broken:
        if (!connection.leaving) cut(connection);
        return true;
      case Received::Kind::descriptors:
        for (const int descriptor : receipt.received.descriptors) {
          foreign_closer_.give(descriptor, Closer::Kind::foreign, connection.peer.uid);
        }
        end_connection(connection, Error{ErrorCode::malformed, "onced accepts no descriptors"});
        return true;
      case Received::Kind::bytes:
        break;
    }
    // Before its frames are handled: they may take more turns than this one.
    if (connection.leaving) *connection.leaving -= std::min(*connection.leaving, receipt.received.bytes);
    if (!handle_frames(connection)) return false;
    if (!connection.leaving && !receipt.filled) break;
  }
  if (connection.leaving) return false;
  if (connection.state == State::greeting || connection.state == State::open) {
    if (!throttled(connection)) wait_readable(connection);
  }
  return true;
}

void Host::let_leave(Connection& connection) {
  if (connection.state != Connection::State::open) return cut(connection);
  if (connection.leaving) return;
  connection.leaving = limits::bytes_read_after_death_max;
  connection.out.clear();
  // Whatever waits for its socket asks for it by its id and finds nothing new; this is what reads it to its end.
  boost::asio::post(context_, [this, id = connection.id()] { on_readable(id); });
  connection.reading = true;
}

bool Host::handle_frames(Connection& connection) {
  using State = Connection::State;
  while (connection.state == State::greeting || connection.state == State::open) {
    if (throttled(connection)) {
      send_now(connection);
      if (throttled(connection)) return true;  // flush() reads on
      continue;
    }
    const Result<std::optional<protocol::Frame>> frame = connection.frames.next();
    if (!frame) {
      end_connection(connection, frame.error());
      return true;
    }
    if (!*frame) return true;
    ++connection.turn.requests;
    if (connection.state == State::greeting) handle_hello(connection, **frame);
    else handle_request(connection, **frame);
    if (connection.turn.requests >= limits::requests_per_turn_max || alarm_.now() >= connection.turn_until) return false;
  }
  return true;
}

void Host::handle_request(Connection& connection, const protocol::Frame& frame) {
  Result<protocol::Request> request = protocol::decode_request(frame.header.type, frame.payload);
  if (!request) return end_connection(connection, request.error());
  if (std::holds_alternative<protocol::Hello>(*request)) {
    return end_connection(connection, Error{ErrorCode::malformed, "a second HELLO on one connection"});
  }
  engine::Requested event{connection.id(), frame.header.request_id, std::move(*request)};
  if (makes_session_id(event.request)) event.secret = fresh_session_secret();
  connection.home->apply(std::move(event), alarm_.now());
}

void Host::flush(Connection& connection) {
  send_now(connection);
  // Whether it was throttled does not matter, nor by which limit: a reload may have changed it.
  if (!throttled(connection)) resume(connection);
}

void Host::resume(Connection& connection) {
  if (connection.state != Connection::State::greeting && connection.state != Connection::State::open) return;
  if (std::exchange(connection.reading, true)) return;
  boost::asio::post(context_, [this, id = connection.id()] { on_readable(id); });
}

void Host::send_now(Connection& connection) {
  if (connection.writing || connection.state == Connection::State::ended) return;
  switch (connection.out.flush(connection.socket())) {
    case Sent::Kind::bytes:
      break;
    case Sent::Kind::nothing:
      wait_writable(connection);
      break;
    case Sent::Kind::broken:
      return let_leave(connection);
    case Sent::Kind::too_many_descriptors:
      connection.out.clear();
      return end_connection(connection, Error{ErrorCode::limit_reached,
                                              "too many clients have not received their descriptors yet; try again"});
  }
  report_departures(connection);
  if (connection.state == Connection::State::ending && connection.out.empty()) cut(connection);
}

void Host::on_writable(Id id) {
  Connection* connection = find(id);
  if (connection == nullptr) return;
  begin_turn();
  connection->writing = false;
  want_flush(*connection);
  finish_turn();
}

// ---- ending ---------------------------------------------------------------------------------------------------------

void Host::end_connection(Connection& connection, const Error& why) {
  if (connection.state == Connection::State::ending || connection.state == Connection::State::ended) return;
  log_client(LogLevel::info, connection.peer.uid, "ended connection " + std::to_string(static_cast<std::uint64_t>(connection.id())) + " of " +
                           describe(connection.peer, {}) + ": " + why.text);
  connection.out.push(0, protocol::Reply(protocol::Refused{why.code, why.text}));
  connection.state = Connection::State::ending;
  set_deadline(connection, alarm_.now() + settings_.hello_deadline);
  want_flush(connection);
  leave_engine(connection);
}

void Host::drop_overflowing(Connection& connection) {
  log_client(LogLevel::warning, connection.peer.uid, "ended connection " + std::to_string(static_cast<std::uint64_t>(connection.id())) + " of " +
                              describe(connection.peer, {}) + ": it does not read, and " +
                              std::to_string(connection.out.bytes()) + " bytes of answers wait for it");
  cut(connection);
}

void Host::on_process_died(Id id) {
  Connection* connection = find(id);
  if (connection == nullptr) return;
  begin_turn();
  connection->process_died = true;
  // Its last words may lie in the socket: a result that was published is not computed again.
  let_leave(*connection);
  finish_turn();
}

void Host::cut(Connection& connection) {
  if (connection.state == Connection::State::ended) return;
  connection.state = Connection::State::ended;
  connection.out.clear();
  clear_deadline(connection);
  leave_engine(connection);  // no answer would reach it: what it holds and waits for must not wait for its end
  // A client with a pin page may still read what it has pinned, in this process or in a child: its end must be closed
  // everywhere before the pins go. Others hold nothing.
  if (!connection.page) {
    to_forget_.push_back(connection.id());
    return;
  }
  // With both directions shut down the kernel reports a hang-up, though the client's end may be open.
  if (!connection.peer_ended) ::shutdown(connection.socket(), SHUT_WR);
  wait_hung_up(connection);
}

void Host::on_hung_up(Id id) {
  if (find(id) == nullptr) return;
  begin_turn();
  to_forget_.push_back(id);
  finish_turn();
}

void Host::leave_engine(Connection& connection) {
  if (!std::exchange(connection.engine_knows, false)) return;
  connection.home->apply(engine::Disconnected{connection.id()}, alarm_.now());
}

void Host::forget(Connection& connection) {
  const Id id = connection.id();
  leave_engine(connection);
  if (connection.page) connection.home->leave(id);
  clear_deadline(connection);
  connection.close(closer_);
  admission_.leave(connection.peer.uid);
  connections_.erase(id);
}

// ---- waiting --------------------------------------------------------------------------------------------------------

void Host::wait_readable(Connection& connection) {
  if (!std::exchange(connection.reading, true)) to_wait_.push_back(connection.id());
}

void Host::begin_waits() {
  for (const Id id : to_wait_) {
    Connection* connection = find(id);
    if (connection == nullptr || connection->leaving) continue;  // who leaves is being read already
    connection->stream().async_wait(stream_read, [this, id](const boost::system::error_code& error) {
      if (!error) on_readable(id);
    });
  }
  to_wait_.clear();
}

void Host::hold_back(Connection& connection) {
  if (connection.leaving || std::exchange(connection.held_back, true)) return;
  held_back_.push_back(connection.id());
  if (!read_held_back_at_) read_held_back_at_ = alarm_.now() + held_back_period;
}

void Host::read_held_back() {
  read_held_back_at_.reset();
  for (const Id id : std::exchange(held_back_, {})) {
    Connection* connection = find(id);
    if (connection == nullptr) continue;
    connection->held_back = false;
    resume(*connection);
  }
}

void Host::wait_writable(Connection& connection) {
  if (std::exchange(connection.writing, true)) return;
  connection.stream().async_wait(stream_write, [this, id = connection.id()](const boost::system::error_code& error) {
    if (!error) on_writable(id);
  });
}

void Host::wait_hung_up(Connection& connection) {
  connection.stream().async_wait(stream_error, [this, id = connection.id()](const boost::system::error_code& error) {
    if (!error) on_hung_up(id);
  });
}

}  // namespace onced::net
