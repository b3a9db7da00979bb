// A line on the terminal that shows what a call is waiting for, for as long as the object lives.
//
// Draws nothing where standard error is no terminal, and nothing during the first moments: an answer that is there at once
// comes without noise. Whatever goes wrong here only costs the line.
//
// Threads: one of its own, which subscribes to the key and draws; the caller must not use the context's output meanwhile.
#pragma once

#include <thread>

#include <onced/client.hpp>

#include "context.hpp"
#include "descriptor.hpp"
#include "reach.hpp"

namespace onced::cli {

class WaitBar {
 public:
  WaitBar(Context& context, Reach& reach, const Key& key);
  ~WaitBar();
  WaitBar(const WaitBar&) = delete;
  WaitBar& operator=(const WaitBar&) = delete;

 private:
  void draw();
  // False: the object is to go.
  bool pause(int milliseconds) const;

  Context& context_;
  Reach& reach_;
  const Key& key_;
  client_detail::Descriptor end_;  // an eventfd: readable when the object is to go
  std::thread thread_;
};

}  // namespace onced::cli
