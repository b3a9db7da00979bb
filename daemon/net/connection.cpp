#include "net/connection.hpp"

#include <utility>

namespace onced::net {

Connection::Connection(boost::asio::io_context& context, engine::ConnectionId id, Peer peer_in)
    : peer(std::move(peer_in)), id_(id), stream_(context) {}

Result<void> Connection::open(memory::FileDescriptor& socket) {
  boost::system::error_code error;
  stream_.assign(socket.get(), error);
  if (error) return Error{ErrorCode::limit_reached, "cannot watch another connection: " + error.message()};
  socket.release();
  return {};
}

void Connection::close(Closer& closer) {
  process_.reset();
  if (stream_.is_open()) closer.give(stream_.release(), Closer::Kind::connection, peer.uid);
}

void Connection::adopt_process(boost::asio::io_context& context) {
  if (!peer.process) return;
  boost::system::error_code error;
  process_.emplace(context);
  process_->assign(peer.process.get(), error);
  if (error) process_.reset();
  else peer.process.release();
}

Connection::Receipt Connection::receive() {
  const std::span<std::byte> room = frames.room();
  Receipt receipt{net::receive(socket(), room), false};
  if (receipt.received.kind == Received::Kind::bytes) {
    frames.received(receipt.received.bytes);
    receipt.filled = receipt.received.bytes == room.size();
  }
  return receipt;
}

}  // namespace onced::net
