//! `rumplab.h`: what a scenario in C is written with.

use core::ffi::{c_int, c_uint};

use kmod::kern::callout;
use kmod::kern::kthread;
use kmod::kern::lwp::{Lwp, curcpu, curlwp};
use kmod::machine::{self, ObjectKind};
use kmod::scenario;

use super::intern::{call, closure};
use super::{Func, Text, boots, bound, refused};
use crate::machine::host::{current, forget_names};

bound! {
    fn rumplab_actor(name: Text, cpu: c_uint, func: Func, arg: usize) {
        if !boots() {
            refused(format_args!("rumplab_actor({}) after the setup: use rumplab_thread", name.0));
        }
        let work = closure(func, [arg, 0]);
        scenario::actor(curlwp().kernel(), name.0, cpu as usize, call, work);
    }
    fn rumplab_thread(name: Text, cpu: c_uint, func: Func, arg: usize) -> &'static Lwp {
        scenario::thread(name.0, cpu as usize, call, closure(func, [arg, 0]))
    }
    fn rumplab_join(l: &'static Lwp) {
        kthread::kthread_join(l);
    }
    fn rumplab_broken(promise: Text, condition: Text) {
        scenario::broken_promise(promise.0, format_args!("{} is false", condition.0));
    }
    fn rumplab_label_typed(object: usize, size: usize, name: Text, kind: usize) {
        forget_names(object, size);
        let fields = current().and_then(|engine| engine.type_at(kind)).unwrap_or_default();
        machine::label_bytes(object, size, format_args!("{}", name.0), fields, ObjectKind::Other);
    }
    fn rumplab_ticks() -> c_int {
        callout::ticks(curcpu()) as c_int
    }
}
