// The front of every look-up. Inline: it is called once for keys without a session, where the pointer is known to be null, and
// once for the others.
#pragma once

#include "client_state.hpp"
#include "value_maker.hpp"

namespace onced {

namespace client_detail {
// The longest that a hit takes to replace a connection whose pins are used up.
inline constexpr Milliseconds renewal_time{100};
}  // namespace client_detail

[[gnu::always_inline]] inline bool Client::State::peek_at_once(std::string_view key, std::optional<Value>& value, Milliseconds within,
                                                               const client_detail::SessionAccess* session) {
  using client_detail::Look;
  client_detail::ReaderNode* const node = client_detail::this_thread_node;
  if (node == nullptr || node->process != client_detail::Process::current()) [[unlikely]] return false;
  // Acquire: pairs with State::connector_here().
  const Look look = connector.load(std::memory_order_acquire)->look_up(key, *node, value, session);
  if (look != Look::hit) [[unlikely]] {
    if (look == Look::unmapped) {
      map_unnamed(value, within);
    } else if (look == Look::copied) {
      // Every pin was taken. If they are taken for good (retained after forks), a new connection has new ones.
      static_cast<void>(connector_here().attachment(client_detail::deadline_in(client_detail::renewal_time)));
    } else {
      return look == Look::miss || look == Look::ended;  // to look again changes neither
    }
  }
  if (client_detail::this_thread_may_hold) [[unlikely]] {
    if (value && ValueMaker::age(*value) == client_detail::Age::fresh) given(key, *value);
  }
  return true;
}

}  // namespace onced
