"""`nastool doctor`: what this machine can do."""

from cli import console, options
from cli.configured import configured
from cli.invocation import Invocation


@configured("doctor")
def doctor(invocation: Invocation, json: options.Json = False) -> None:
    """Show what works on this machine, and the reason and remedy for what does not.

    With --device ssh://user@host also shows what works on that device.
    """
    console.say("looking at devices, backends and data sets")
    from exporters.devices.attached import require_device_name
    from toolchain.machine.doctor import examine

    require_device_name(invocation.config.profile.device)
    findings = examine(invocation.config.profile.db, invocation.config.profile.device)
    if json:
        console.answer_json({"findings": [vars(finding) for finding in findings]})
        return
    rows = [(f.what, "yes" if f.works else "no", f.detail) for f in findings]
    console.answer_table("this machine", ("what", "works", "detail"), rows)
