#include "net/send_queue.hpp"

#include <algorithm>

#include <onced/protocol/result.hpp>

namespace onced::net {
namespace {

constexpr std::size_t buffer_bytes_kept = 16 * 1024;  // a larger buffer is given back when it is empty
constexpr std::size_t compaction_bytes = 256 * 1024;  // sent bytes that are worth moving the others

bool counts_as_signal(const protocol::Reply& reply) {
  return std::holds_alternative<protocol::Signal>(reply) || std::holds_alternative<protocol::Position>(reply) ||
         std::holds_alternative<protocol::State>(reply);
}

}  // namespace

void SendQueue::push(protocol::RequestId id, const protocol::Reply& reply, Descriptors with) {
  if (with.count != 0) attachments_.push_back({departed_ + bytes(), std::move(with)});
  protocol::encode(id, reply, buffer_);
  if (counts_as_signal(reply)) marks_.push_back({departed_ + bytes(), id});
}

std::span<const std::byte> SendQueue::next_bytes(std::span<const int>& descriptors) const {
  std::span<const std::byte> rest = std::as_bytes(std::span(buffer_)).subspan(begin_);
  auto next = attachments_.begin();
  if (next != attachments_.end() && next->begin == departed_) {
    descriptors = std::span(next->descriptors.numbers).first(next->descriptors.count);
    ++next;
  }
  // What the next one carries must not come with bytes before its frame.
  if (next != attachments_.end()) rest = rest.first(static_cast<std::size_t>(next->begin - departed_));
  return rest;
}

Sent::Kind SendQueue::flush(int socket) {
  while (!empty()) {
    std::span<const int> descriptors;
    const std::span<const std::byte> next = next_bytes(descriptors);
    const Sent sent = send(socket, next, descriptors);
    if (sent.kind != Sent::Kind::bytes) {
      compact();
      return sent.kind;
    }
    if (!descriptors.empty()) attachments_.erase(attachments_.begin());
    begin_ += sent.bytes;
    departed_ += sent.bytes;
  }
  compact();
  return Sent::Kind::bytes;
}

void SendQueue::compact() {
  if (empty()) {
    begin_ = 0;
    buffer_.clear();
    if (buffer_.capacity() > buffer_bytes_kept) std::string().swap(buffer_);
  } else if (begin_ >= compaction_bytes) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
}

void SendQueue::take_departures(Departures& departures) {
  while (!marks_.empty() && marks_.front().end <= departed_) {
    const protocol::RequestId subscription = marks_.front().subscription;
    marks_.pop_front();
    if (!departures.empty() && departures.back().first == subscription) ++departures.back().second;
    else departures.emplace_back(subscription, 1);
  }
}

bool SendQueue::borrows() const {
  return std::any_of(attachments_.begin(), attachments_.end(), [](const Attachment& one) { return one.descriptors.keeper == nullptr; });
}

void SendQueue::clear() {
  std::string().swap(buffer_);
  begin_ = 0;
  marks_.clear();
  attachments_.clear();
}

}  // namespace onced::net
