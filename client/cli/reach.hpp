// Whom a command asks: the whole namespace, or the one session that --session or ONCED_SESSION names.
//
// Keys are made by it: in a session they name its number. Nothing is asked before open() but by a session, which is opened there.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <onced/client.hpp>
#include <onced/session.hpp>

#include "context.hpp"
#include "key_words.hpp"

namespace onced::cli {

class Reach {
 public:
  // Errors: that the session has ended, or that there is no daemon to ask for it.
  static Result<Reach> open(const Context& context);

  Client& client() { return *client_; }
  // Of keys; nothing: of none.
  std::optional<std::uint64_t> session_number() const { return session_ ? std::optional(session_->number()) : std::nullopt; }
  Result<Key> key(const KeyWords& words) const { return make_key(words, session_number()); }

  Result<std::optional<Value>> get(const Key& key) { return session_ ? session_->get(key.bytes()) : client_->get(key.bytes()); }
  Result<Value> wait(const Key& key, const WaitOptions& options) {
    return session_ ? session_->wait(key.bytes(), options) : client_->wait(key.bytes(), options);
  }
  Result<Client::Acquired> acquire(const Key& key, const ComputeOptions& options) {
    return session_ ? session_->acquire(key, options) : client_->acquire(key, options);
  }
  Result<std::uint64_t> put(const Key& key, ValueBuilder&& builder, const PutOptions& options) {
    return session_ ? session_->put(key.bytes(), std::move(builder), options) : client_->put(key.bytes(), std::move(builder), options);
  }
  Result<std::uint64_t> invalidate(const Key& key, const InvalidateOptions& options) {
    return session_ ? session_->invalidate(key.bytes(), options) : client_->invalidate(key.bytes(), options);
  }
  Result<std::uint64_t> invalidate_all(const InvalidateOptions& options) {
    return session_ ? session_->invalidate_all(options) : client_->invalidate_all(options);
  }
  Result<std::uint64_t> cancel(const Key& key) { return session_ ? session_->cancel(key.bytes()) : client_->cancel(key.bytes()); }
  Result<protocol::Listing> list(std::string_view function, std::string_view cursor) {
    return session_ ? session_->list(function, cursor) : client_->list(function, cursor);
  }
  Result<protocol::Explanation> explain(const Key& key) { return session_ ? session_->explain(key.bytes()) : client_->explain(key.bytes()); }
  Result<Subscription> subscribe(const Key& key) { return session_ ? session_->subscribe(key) : client_->subscribe(key); }
  // To all of it.
  Result<Subscription> subscribe() { return session_ ? session_->subscribe() : client_->subscribe_all(); }

 private:
  explicit Reach(std::unique_ptr<Client> client) : client_(std::move(client)) {}

  std::unique_ptr<Client> client_;  // sessions point to it
  std::optional<Session> session_;
};

inline Result<Reach> Reach::open(const Context& context) {
  Reach reach(std::make_unique<Client>(context.client_options()));
  if (context.options.session.empty()) return reach;
  Result<Session> session = reach.client_->session(context.options.session);
  if (!session) return session.error();
  reach.session_ = std::move(*session);
  return reach;
}

}  // namespace onced::cli
