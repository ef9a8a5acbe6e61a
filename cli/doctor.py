"""`nastool doctor`: what this machine can do."""

from cli import console, options


def doctor(db: options.Db = None, config: options.ConfigFile = None, json: options.Json = False) -> None:
    """Say what works here, and for each thing that doesn't, why and what to do."""
    from toolchain.config import load_config
    from toolchain.machine.doctor import examine

    settings = load_config(config, options.flags(profile__db=db))
    findings = examine(settings.profile.db)
    if json:
        console.answer_json({"findings": [vars(finding) for finding in findings]})
        return
    rows = [(f.what, "yes" if f.works else "no", f.detail) for f in findings]
    console.answer_table("this machine", ("what", "works", "detail"), rows)
